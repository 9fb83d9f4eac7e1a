"""A process in the product's Ray cluster that calls its stages over handles, as its conductors do.

`python -m benchmarks.servers.handles`, with the environment of `systems.in_cluster`; then lines on stdin:
`embed N C`: requests a second, N of one text, C at once; `rerank N C`: the same with a query and twelve
new passages; `retrieve COLLECTION plain|rerank N`: milliseconds of N searches; `calls COLLECTION N`: of N
times embedding, search and reranking, called in turn; `added COLLECTION N`: how many milliseconds later the
first word of N answers comes with documents than without, from a model that answers at once;
`fill COLLECTION N`: seconds for N passages with random vectors; `find COLLECTION METHOD N`: milliseconds of N
searches among those, `settle COLLECTION S`: seconds until these have become fast, S at most.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace

import uvloop

from benchmarks import library, line_server
from benchmarks.many_passages import ManyPassages
from benchmarks.mock_engine import MockLlm
from benchmarks.rag_chain import Chain
from benchmarks.servers.embedding_engines import reranked
from serve_apps import local_ray, run_state
from serve_apps.access import OWNER
from serve_apps.args import ConductorArgs, FrontArgs, LlmArgs
from serve_apps.chat import ChatConductor
from serve_apps.clients import EmbeddingsClient, LlmClient, RerankerClient
from serve_apps.clients_knowledge import KnowledgeClient
from serve_apps.retrieval import Retriever
from serve_apps.serve_config import EMBEDDED, load
from serve_apps.wire import ChatRequest, LlmEvent, Message, TextDelta, TurnRequest
from serve_apps.wire_knowledge import Retrieval

N_SECTIONS = 10_000


class InstantLlm(LlmClient):
    """Counts tokens as the model does, over its handle, and answers at once."""

    async def stream_chat(self, request: ChatRequest) -> AsyncGenerator[LlmEvent, None]:
        """See `Llm.stream_chat`."""
        async for event in MockLlm(LlmArgs(engine="mock")).stream_chat(replace(request, max_tokens=2)):
            yield event


class Stages:
    """Clients of the product's stages, and its conductors over them."""

    def __init__(self) -> None:
        self._embeddings, self._reranker = EmbeddingsClient(), RerankerClient()
        self._knowledge = KnowledgeClient()
        args = _conductor_args()
        self._retriever = Retriever(self._embeddings, self._knowledge, self._reranker, args.retrieval)
        self._chat = ChatConductor(InstantLlm(), args, self._retriever)
        self._n_reranked = 0

    async def embed(self, n_requests: str, n_at_once: str) -> float:
        """Requests a second."""
        texts = library.questions(int(n_requests), int(n_requests))
        return await _per_s(
            int(n_at_once), [lambda text=text: self._embeddings.embed([text]) for text in texts]
        )

    async def rerank(self, n_requests: str, n_at_once: str) -> float:
        """Requests a second."""
        queries = library.questions(int(n_requests), int(n_requests))
        found = reranked(len(queries), self._n_reranked)
        self._n_reranked += len(queries)
        asked = zip(queries, found, strict=True)
        calls = [lambda query=query, texts=texts: self._reranker.rank(query, texts) for query, texts in asked]
        return await _per_s(int(n_at_once), calls)

    async def retrieve(self, collection_id: str, how: str, n_queries: str) -> list[float]:
        """Milliseconds of each search; the first, which warms up, is not among them."""
        wanted = Retrieval(collections=(collection_id,), rerank=how == "rerank")
        first, *queries = library.questions(int(n_queries) + 1, N_SECTIONS)
        await self._retriever.rank(OWNER, first, wanted)
        return [
            await _ms(lambda query=query: self._retriever.rank(OWNER, query, wanted)) for query in queries
        ]

    async def calls(self, collection_id: str, n_queries: str) -> list[float]:
        """Milliseconds of what an answer needs, each stage called by itself; the first is not among them."""
        queries = library.questions(int(n_queries) + 1, N_SECTIONS)
        chain = Chain(self._embeddings, self._knowledge, self._reranker, collection_id)
        return [await chain.one_ms(query, rerank=True) for query in queries][1:]

    async def added(self, collection_id: str, n_queries: str) -> list[float]:
        """Milliseconds that documents add to the first word, answer by answer."""
        first, *queries = library.questions(int(n_queries) + 1, N_SECTIONS)
        await self._first_words_ms(collection_id, first)
        return [await self._first_words_ms(collection_id, query) for query in queries]

    async def _first_words_ms(self, collection_id: str, query: str) -> float:
        plain = TurnRequest(messages=(Message(role="user", content=query),), user=OWNER)
        asking = replace(plain, retrieval=Retrieval(collections=(collection_id,)))
        with_documents = await _until(self._chat.stream_turn(asking), TextDelta)
        return with_documents - await _until(self._chat.stream_turn(plain), TextDelta)


def _conductor_args() -> ConductorArgs:
    """As the product's own conductors have them."""
    [front] = [one.args for one in load(EMBEDDED).applications if isinstance(one.args, FrontArgs)]
    return front.conductor


async def _per_s(n_at_once: int, calls: list[Callable[[], Awaitable[object]]]) -> float:
    waiting = iter(calls)

    async def one() -> None:
        for call in waiting:
            await call()

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(n_at_once)))
    return len(calls) / (time.perf_counter() - started)


async def _ms(call: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await call()
    return (time.perf_counter() - started) * 1000


async def _until(events: AsyncGenerator[object, None], kind: type) -> float:
    """Milliseconds to the first event of a kind; the rest is read, so that nothing of it runs on."""
    started, first, last = time.perf_counter(), 0.0, None
    async with aclosing(events):
        async for last in events:
            if not first and isinstance(last, kind):
                first = (time.perf_counter() - started) * 1000
    assert first, f"No text came, but {last}."
    return first


async def main() -> None:
    """Join the cluster of this home and measure."""
    state = run_state.read()
    assert state is not None
    local_ray.connect(state.ray_address)
    stages, many = Stages(), ManyPassages(KnowledgeClient())
    await line_server.serve(
        {
            "embed": stages.embed,
            "rerank": stages.rerank,
            "retrieve": stages.retrieve,
            "calls": stages.calls,
            "added": stages.added,
            "fill": many.fill,
            "settle": many.settle,
            "find": many.find,
        }
    )


if __name__ == "__main__":
    line_server.keep_stdout()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as Ray's replicas
        runner.run(main())
