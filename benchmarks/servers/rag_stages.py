"""The floor of row 7: the stages of retrieval in one process, called in turn, without Serve between them.

`python -m benchmarks.servers.rag_stages FOLDER`, in a RAYDIO_HOME of its own, adds the files of a folder to
a collection; then a line `search N` or `rerank N` on stdin is answered with milliseconds of N retrievals:
embedding and search, or these and the reranker.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from pathlib import Path

from benchmarks import library, line_server
from benchmarks.mock_engine import MockStt
from benchmarks.rag_chain import Chain
from serve_apps.access import OWNER
from serve_apps.args import EmbeddingsArgs, IngestArgs, KnowledgeArgs, RerankerArgs, SttArgs
from serve_apps.embeddings import EmbeddingsStage
from serve_apps.ingest import IngestConductor
from serve_apps.knowledge import KnowledgeStage
from serve_apps.reranker import RerankerStage
from serve_apps.stt import SttStage
from serve_apps.wire_knowledge import GivenFile, IngestDone, IngestRequest

N_SECTIONS = 10_000


class Stages:
    """Embeddings, knowledge and reranker, and a filled collection."""

    def __init__(self) -> None:
        self._embeddings = EmbeddingsStage(EmbeddingsArgs())
        self._knowledge = KnowledgeStage(KnowledgeArgs())
        self._reranker = RerankerStage(RerankerArgs())
        self._collection_id = ""

    async def fill(self, paths: list[Path]) -> None:
        """Add files as the product does."""
        stt = SttStage(SttArgs(engine="mock", align_words=False), MockStt)
        ingest = IngestConductor(stt, self._embeddings, self._knowledge, IngestArgs())
        self._collection_id = (await self._knowledge.create_collection(OWNER, "Library")).id
        files = tuple(GivenFile(name=path.name, path=str(path)) for path in paths)
        request = IngestRequest(user=OWNER, collection_id=self._collection_id, files=files)
        async with aclosing(ingest.stream_ingest(request)) as events:
            async for event in events:
                assert not isinstance(event, IngestDone) or not event.n_failed, event

    async def search(self, n_queries: str) -> list[float]:
        """Milliseconds of embedding and search."""
        return await self._retrieved_ms(int(n_queries), rerank=False)

    async def rerank(self, n_queries: str) -> list[float]:
        """Milliseconds of embedding, search and reranker."""
        return await self._retrieved_ms(int(n_queries), rerank=True)

    async def _retrieved_ms(self, n_queries: int, *, rerank: bool) -> list[float]:
        queries = library.questions(n_queries + 1, N_SECTIONS)
        chain = Chain(self._embeddings, self._knowledge, self._reranker, self._collection_id)
        return [await chain.one_ms(query, rerank=rerank) for query in queries][1:]


async def main(paths: list[Path]) -> None:
    """Fill, then answer."""
    stages = Stages()
    await stages.fill(paths)
    await line_server.serve({"search": stages.search, "rerank": stages.rerank})


if __name__ == "__main__":
    line_server.keep_stdout()
    asyncio.run(main(sorted(Path(sys.argv[1]).iterdir())))
