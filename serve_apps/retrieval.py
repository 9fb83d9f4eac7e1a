"""From a question to the passages that may answer it: embed, search, rerank, in one call.

What is missing is done without and said: no reranker, the search's own order; no embeddings, words alone.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from serve_apps.args import RetrievalArgs
from serve_apps.contracts import Embeddings, Reranker
from serve_apps.contracts_knowledge import Knowledge, SearchRequest
from serve_apps.errors import EmptyInput, StageError, StageTimeout
from serve_apps.turns import span
from serve_apps.wire import QueryVector, Span
from serve_apps.wire_knowledge import Hit, Retrieval, SearchMethod

MODEL_FRESH_S = 10.0
"""How long the embedding model's name is believed; it changes only with a deployment."""
_WORD = re.compile(r"\w+(?:[-./:]\w+)*")
NO_RERANKER = "The reranker did not answer: vector order used."
LEFT_OUT = "“{name}” was not searched: another embedding model made it. Index it again to use it."
NO_EMBEDDINGS = "The embeddings stage did not answer: found by words alone."


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A hit with the score that it is ordered by: the reranker's, or the search's without one."""

    hit: Hit
    score: float
    reranked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """What was found, best first, and how."""

    hits: tuple[Scored, ...]
    n_below: int
    """Hits that were left out because their score was too low."""
    spans: tuple[Span, ...]
    """embed, search, rerank."""
    notes: tuple[str, ...]
    """What was degraded, in words for the user."""


@dataclass(slots=True)
class Found:
    """What a search gave, before the reranker; times are the caller's clock, in milliseconds."""

    query: str
    wanted: Retrieval
    now_ms: Callable[[], float]
    vector: QueryVector | None = None
    """The query's, if one was needed."""
    hits: tuple[Hit, ...] = ()
    """In the search's order."""
    spans: list[Span] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def took(self, name: str, start_ms: float) -> None:
        """Add a bar that ends now."""
        self.spans.append(span(name, start_ms, self.now_ms()))


class Retriever:
    """Finds passages for a question.

    Args:
        embeddings: makes the question's vector.
        knowledge: searches.
        reranker: puts the best first.
        args: what callers do not say.
    """

    def __init__(
        self, embeddings: Embeddings, knowledge: Knowledge, reranker: Reranker, args: RetrievalArgs
    ) -> None:
        self._embeddings = embeddings
        self._knowledge = knowledge
        self._reranker = reranker
        self._args = args
        self._model = ""
        self._model_asked_s = float("-inf")

    async def rank(self, user: str, query: str, wanted: Retrieval) -> Ranking:
        """The passages for `query` in what `user` may read: `search`, then `order`."""
        return await self.order(await self.search(user, query, wanted))

    async def search(
        self, user: str, query: str, wanted: Retrieval, now_ms: Callable[[], float] | None = None
    ) -> Found:
        """What may answer `query`, in what `user` may read.

        Args:
            user: whose documents.
            query: standing alone.
            wanted: how to search; its `mode` is not looked at.
            now_ms: the clock of the spans; None: one that starts now.

        Raises:
            EmptyInput, EmbeddingMismatch, NotFound: the request.
            StageError: the knowledge stage did not answer.
        """
        if not query.strip():
            raise EmptyInput("There is nothing to search for.", "Write what to look for.")
        found = Found(query, wanted, now_ms or _clock())
        try:
            async with asyncio.timeout(self._args.timeout_s):
                await self._look(found, user)
        except TimeoutError as error:
            raise StageTimeout("knowledge", "The documents took too long to search.", "Try again.") from error
        return found

    async def order(self, found: Found) -> Ranking:
        """The best of what was found first, and only what is good enough."""
        scored = await self._ordered(found)
        names = _names(found.query)
        kept = [item for item in scored if self._is_good(item, found.wanted) or _holds(item.hit, names)]
        return Ranking(
            hits=tuple(kept),
            n_below=len(scored) - len(kept),
            spans=tuple(found.spans),
            notes=tuple(found.notes),
        )

    async def _look(self, found: Found, user: str) -> None:
        wanted = found.wanted
        method = await self._embedded(found)
        started_ms = found.now_ms()
        request = SearchRequest(
            user=user,
            query=found.query,
            vector=found.vector.values if found.vector else None,
            embedding_model=found.vector.model if found.vector else "",
            collections=wanted.collections,
            method=method,
            limit=self._n_candidates(wanted),
            filters=wanted.filters,
        )
        result = await self._knowledge.search(request)
        found.hits = result.hits
        found.notes += [LEFT_OUT.format(name=name) for name in result.left_out]
        found.took("search", started_ms)

    async def _embedded(self, found: Found) -> SearchMethod:
        """Make the query's vector, if one is wanted; returns the method that is possible."""
        method = found.wanted.method
        if method == "bm25":
            return method
        started_ms = found.now_ms()
        try:
            vectors, _ = await asyncio.gather(self._embeddings.embed([found.query]), self._know_model())
        except StageError:
            if method == "dense":
                raise
            found.notes.append(NO_EMBEDDINGS)
            return "bm25"
        finally:
            found.took("embed", started_ms)
        found.vector = QueryVector(model=self._model, values=vectors[0])
        return method

    async def _know_model(self) -> None:
        if time.monotonic() - self._model_asked_s < MODEL_FRESH_S:
            return
        self._model = (await self._embeddings.describe()).card.model
        self._model_asked_s = time.monotonic()

    async def _ordered(self, found: Found) -> list[Scored]:
        as_found = [Scored(hit=hit, score=hit.score) for hit in found.hits]
        if not found.wanted.rerank or not found.hits:
            return as_found
        started_ms = found.now_ms()
        texts = [hit.passage.text for hit in found.hits]
        try:
            async with asyncio.timeout(self._args.timeout_s):
                ranked = await self._reranker.rank(found.query, texts, vector=found.vector)
        except (StageError, TimeoutError):
            found.notes.append(NO_RERANKER)
            return as_found
        finally:
            found.took("rerank", started_ms)
        return [Scored(hit=found.hits[item.index], score=item.score, reranked=True) for item in ranked]

    def _is_good(self, item: Scored, wanted: Retrieval) -> bool:
        """Whether its score is worth showing; a hit by words alone has no score that could be compared."""
        if item.reranked:
            return item.score >= (self._args.min_score if wanted.min_score is None else wanted.min_score)
        if item.hit.cosine is None:
            return True
        return item.hit.cosine >= (self._args.min_cosine if wanted.min_score is None else wanted.min_score)

    def _n_candidates(self, wanted: Retrieval) -> int:
        asked = wanted.n_candidates or self._args.n_candidates
        return max(asked, wanted.n_passages or self._args.n_passages)


def _names(query: str) -> set[str]:
    """Codes, numbers and abbreviations: what embeddings know least about and readers mean exactly."""
    words = _WORD.findall(query)
    return {w.lower() for w in words if any(map(str.isdigit, w)) or (len(w) > 1 and w.isupper())}


def _holds(hit: Hit, names: set[str]) -> bool:
    return bool(names) and not names.isdisjoint(word.lower() for word in _WORD.findall(hit.passage.text))


def _clock() -> Callable[[], float]:
    started_s = time.perf_counter()
    return lambda: (time.perf_counter() - started_s) * 1000
