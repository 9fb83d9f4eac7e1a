"""The floors of row 6: embeddings and reranker engines in a process of their own, called directly.

`python -m benchmarks.servers.embedding_engines`; then a line on stdin is answered with one of requests a
second: `embed one N`: N texts, one call each; `embed batch N`: the same in batches of 64, as the stage makes
them; `rerank N`: N queries with twelve new passages each; `ingest FOLDER`: what ingest would embed of the
files in a folder, in batches as ingest makes them (passages a second, without reading and cutting).
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from benchmarks import library, line_server
from serve_apps.args import EmbeddingsArgs, IngestArgs, RerankerArgs
from serve_apps.contracts import EmbeddingsEngine, RerankerEngine
from serve_apps.documents.cutting import embedded_text
from serve_apps.documents.reading import read
from serve_apps.engines import engine_class

BATCH = EmbeddingsArgs().batch_texts
N_RERANKED = 12


class Engines:
    """Both of them, loaded."""

    def __init__(self) -> None:
        embeddings, reranker = EmbeddingsArgs(), RerankerArgs()
        self._embeddings: EmbeddingsEngine = engine_class("embeddings", embeddings.engine)(embeddings)
        self._reranker: RerankerEngine = engine_class("reranker", reranker.engine)(reranker)
        self._n_reranked = 0

    async def embed(self, how: str, n_texts: str) -> float:
        """Texts a second."""
        texts = library.questions(int(n_texts), int(n_texts))
        size = 1 if how == "one" else BATCH
        started = time.perf_counter()
        for start in range(0, len(texts), size):
            self._embeddings.embed(texts[start : start + size])
        return len(texts) / (time.perf_counter() - started)

    async def rerank(self, n_queries: str) -> float:
        """Requests a second."""
        queries = library.questions(int(n_queries), int(n_queries))
        found = reranked(len(queries), self._n_reranked)
        self._n_reranked += len(queries)
        started = time.perf_counter()
        for query, passages in zip(queries, found, strict=True):
            self._reranker.score(query, passages)
        return len(queries) / (time.perf_counter() - started)

    async def ingest(self, folder: str) -> float:
        """Passages a second of the embedder alone."""
        args = IngestArgs()
        texts = await _embedded_texts(_paths(folder), args)
        started = time.perf_counter()
        for start in range(0, len(texts), args.batch_passages):
            self._embeddings.embed(texts[start : start + args.batch_passages])
        return len(texts) / (time.perf_counter() - started)


def reranked(n_queries: int, first: int) -> list[list[str]]:
    """The passages of each query, none of which the engine has seen before: it remembers what it read."""
    return [
        [library.section_text(number) for number in range(start, start + N_RERANKED)]
        for start in range(first * N_RERANKED, (first + n_queries) * N_RERANKED, N_RERANKED)
    ]


def _paths(folder: str) -> list[Path]:
    return sorted(Path(folder).iterdir())


async def _embedded_texts(paths: list[Path], args: IngestArgs) -> list[str]:
    """Whatever ingest would embed of these files."""
    read_files = [(path.name, await read(path, path.name, args)) for path in paths]
    return [embedded_text(passage, name) for name, found in read_files for passage in found.passages]


if __name__ == "__main__":
    line_server.keep_stdout()
    engines = Engines()
    asyncio.run(
        line_server.serve({"embed": engines.embed, "rerank": engines.rerank, "ingest": engines.ingest})
    )
