"""The steps from a question to passages: embed, search, rerank; stage by stage, or all in one call.

What is missing is done without and said: no reranker, the search's own order; no embeddings, words alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from serve_apps.contracts import Embeddings, Reranker
from serve_apps.contracts_knowledge import FindRequest, FindsPassages, Knowledge, SearchRequest
from serve_apps.errors import StageError, StageTimeout
from serve_apps.turns import span
from serve_apps.wire import QueryVector, Span
from serve_apps.wire_knowledge import Hit, Retrieval, Scored, SearchMethod, SearchResult

Search = Callable[[SearchRequest], Awaitable[SearchResult]]

MODEL_FRESH_S = 10.0
"""How long the embedding model's name is believed; it changes only with a deployment."""
NO_RERANKER = "The reranker did not answer: vector order used."
LEFT_OUT = "“{name}” was not searched: another embedding model made it. Index it again to use it."
NO_EMBEDDINGS = "The embeddings stage did not answer: found by words alone."


@dataclass(slots=True)
class Found:
    """What is looked for, and what was found so far; times are the caller's clock, in milliseconds."""

    user: str
    query: str
    wanted: Retrieval
    limit: int
    """Hits, at most."""
    timeout_s: float
    """For embedding and search, and once more for the reranker."""
    now_ms: Callable[[], float]
    vector: QueryVector | None = None
    """The query's, if one was needed."""
    hits: tuple[Hit, ...] = ()
    """In the search's order."""
    scored: tuple[Scored, ...] | None = None
    """Best first, once they are reranked."""
    spans: list[Span] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def took(self, name: str, start_ms: float) -> None:
        """Add a bar that ends now."""
        self.spans.append(span(name, start_ms, self.now_ms()))


class Finder(Protocol):
    """Finds passages."""

    async def look(self, found: Found) -> None:
        """Fill `found` with the hits of a search, perhaps reranked already."""
        ...

    async def score(self, found: Found) -> tuple[Scored, ...]:
        """The hits, best first."""
        ...


class StageFinder:
    """Asks the stages, one after the other.

    Args:
        embeddings: makes the question's vector.
        knowledge: searches.
        reranker: puts the best first.
    """

    def __init__(self, embeddings: Embeddings, knowledge: Knowledge, reranker: Reranker) -> None:
        self._embeddings = embeddings
        self._knowledge = knowledge
        self._reranker = reranker
        self._model = ""
        self._model_asked_s = float("-inf")

    async def look(self, found: Found) -> None:
        """Embed and search."""
        async with within(found.timeout_s):
            method = await self.embed(found)
            await self.search(found, method, self._knowledge.search)

    async def score(self, found: Found) -> tuple[Scored, ...]:
        """Rerank; without a reranker the search's order stays."""
        as_found = tuple(Scored(hit=hit, score=hit.score) for hit in found.hits)
        if not found.wanted.rerank or not found.hits:
            return as_found
        started_ms = found.now_ms()
        texts = [hit.passage.text for hit in found.hits]
        try:
            async with asyncio.timeout(found.timeout_s):
                ranked = await self._reranker.rank(found.query, texts, vector=found.vector)
        except (StageError, TimeoutError):
            found.notes.append(NO_RERANKER)
            return as_found
        finally:
            found.took("rerank", started_ms)
        return tuple(Scored(hit=found.hits[one.index], score=one.score, reranked=True) for one in ranked)

    async def embed(self, found: Found) -> SearchMethod:
        """Make the query's vector, if one is wanted; returns the method that is possible."""
        method = found.wanted.method
        if method == "bm25":
            return method
        started_ms = found.now_ms()
        try:
            vectors, model = await asyncio.gather(self._embeddings.embed([found.query]), self.model())
        except StageError:
            if method == "dense":
                raise
            found.notes.append(NO_EMBEDDINGS)
            return "bm25"
        finally:
            found.took("embed", started_ms)
        found.vector = QueryVector(model=model, values=vectors[0])
        return method

    async def search(self, found: Found, method: SearchMethod, ask: Search) -> None:
        """Find the hits."""
        started_ms = found.now_ms()
        result = await ask(search_request(found, method, found.vector.model if found.vector else ""))
        found.hits = result.hits
        found.notes += [LEFT_OUT.format(name=name) for name in result.left_out]
        found.took("search", started_ms)

    async def model(self) -> str:
        """Which model embeds."""
        if time.monotonic() - self._model_asked_s > MODEL_FRESH_S:
            self._model = (await self._embeddings.describe()).card.model
            self._model_asked_s = time.monotonic()
        return self._model


class OneCallFinder:
    """Leaves all steps to a knowledge stage that has its own encoder and reranker.

    Args:
        knowledge: that stage.
    """

    def __init__(self, knowledge: FindsPassages) -> None:
        self._knowledge = knowledge

    async def look(self, found: Found) -> None:
        """Embed, search and rerank."""
        started_ms = found.now_ms()
        request = FindRequest(
            user=found.user,
            query=found.query,
            wanted=found.wanted,
            limit=found.limit,
            timeout_s=found.timeout_s,
        )
        async with within(2 * found.timeout_s):
            result = await self._knowledge.find(request)
        # What the call itself took is shared out before and after the steps.
        offset_ms = started_ms + max(0.0, found.now_ms() - started_ms - result.total_ms) / 2
        found.spans += [replace(one, start_ms=one.start_ms + offset_ms) for one in result.spans]
        found.notes += result.notes
        found.scored = result.hits
        found.hits = tuple(one.hit for one in result.hits)

    async def score(self, found: Found) -> tuple[Scored, ...]:
        """As they came."""
        return found.scored or ()


def clock() -> Callable[[], float]:
    """Milliseconds since now."""
    started_s = time.perf_counter()
    return lambda: (time.perf_counter() - started_s) * 1000


def search_request(found: Found, method: SearchMethod, model: str) -> SearchRequest:
    """The search for what is looked for; `model` is the one that made, or is to make, its vector."""
    return SearchRequest(
        user=found.user,
        query=found.query,
        vector=found.vector.values if found.vector else None,
        embedding_model=model,
        collections=found.wanted.collections,
        method=method,
        limit=found.limit,
        filters=found.wanted.filters,
    )


@asynccontextmanager
async def within(timeout_s: float) -> AsyncIterator[None]:
    """A limit to what takes passages.

    Raises:
        StageTimeout: it took longer.
    """
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as error:
        raise StageTimeout("knowledge", "The documents took too long to search.", "Try again.") from error
