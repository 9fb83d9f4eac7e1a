"""One query searched in several ways at once: one embedding, one search and one reranking for all columns."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from serve_apps.contracts import Clients
from serve_apps.contracts_knowledge import SearchRequest
from serve_apps.errors import EmbeddingMismatch, RaydioError
from serve_apps.wire import Vectors
from serve_apps.wire_knowledge import Filters, Hit, SearchMethod, SearchResult

__all__ = ["COLUMNS", "DEFAULT", "Column", "Entry", "Question", "Ranking", "key_of", "rankings"]

Made = TypeVar("Made")
FUSED_TOP = 60
"""How much longer than what is shown a fused list is asked for, so that both rankings are whole in it."""
MOST_CANDIDATES = 500
NAMES: dict[SearchMethod, str] = {"dense": "Dense", "bm25": "BM25", "hybrid": "Hybrid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One way of searching."""

    method: SearchMethod
    rerank: bool = False

    @property
    def key(self) -> str:
        """For programs and HTML: `hybrid-rerank`."""
        return f"{self.method}-rerank" if self.rerank else self.method

    @property
    def name(self) -> str:
        """For people."""
        return f"{NAMES[self.method]} + reranker" if self.rerank else NAMES[self.method]


COLUMNS = {
    column.key: column
    for column in (Column(method=method, rerank=rerank) for method in NAMES for rerank in (False, True))
}
DEFAULT = ("dense", "bm25", "hybrid", "hybrid-rerank")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is searched, where and how."""

    user: str
    query: str
    columns: tuple[Column, ...] = tuple(COLUMNS[key] for key in DEFAULT)
    collections: tuple[str, ...] = ()
    k: int = 5
    n_candidates: int = 12
    """Passages that the reranker reads."""
    filters: Filters = field(default_factory=Filters)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One passage of a column."""

    hit: Hit
    score: float
    """What the column is sorted by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """One column's answer."""

    column: Column
    entries: tuple[Entry, ...] = ()
    timings_ms: dict[str, float] = field(default_factory=dict)
    error: RaydioError | None = None
    """Why this way of searching has no answer, where others have."""


def key_of(hit: Hit) -> str:
    """A passage's name in every column, on the map and in the comparison."""
    return f"{hit.document.id}:{hit.passage.index}"


async def rankings(clients: Clients, question: Question) -> list[Ranking]:
    """Every column's answer, in the order asked.

    Raises:
        RaydioError: no column could be answered.
    """
    run = _Run(clients, question)
    return await run.rankings()


class _Run:
    """The calls of one question, each made once."""

    def __init__(self, clients: Clients, question: Question) -> None:
        self._clients = clients
        self._question = question
        self._lists: dict[SearchMethod, tuple[Hit, ...]] = {}
        self._scores: dict[str, float] = {}
        self._ms: dict[str, float] = {}
        self._failed: dict[str, RaydioError] = {}
        """By method, or `rerank`."""

    async def rankings(self) -> list[Ranking]:
        await self._search({column.method for column in self._question.columns})
        await self._rerank()
        return [self._ranking(column) for column in self._question.columns]

    @property
    def _n_wanted(self) -> int:
        reranked = any(column.rerank for column in self._question.columns)
        return max(self._question.k, self._question.n_candidates if reranked else 0)

    async def _search(self, methods: set[SearchMethod]) -> None:
        vector, model = None, ""
        try:
            if methods != {"bm25"}:
                vector, model = await self._embedded()
            await self._found(methods, vector, model)
        except RaydioError as error:
            if "bm25" not in methods or not _spares_words(error):
                raise
            self._failed |= dict.fromkeys(methods - {"bm25"}, error)
            await self._found({"bm25"}, None, "")

    async def _embedded(self) -> tuple[Vectors, str]:
        card = (await self._clients.embeddings.describe()).card
        asked = self._clients.embeddings.embed([self._question.query])
        return (await self._timed("embed", asked))[0], card.model

    async def _found(self, methods: set[SearchMethod], vector: Vectors | None, model: str) -> None:
        """One search for all methods: a hybrid one says both ranks of everything that either found."""
        method: SearchMethod = next(iter(methods)) if len(methods) == 1 else "hybrid"
        n = self._n_wanted if len(methods) == 1 else min(MOST_CANDIDATES, FUSED_TOP + 4 * self._n_wanted)
        result = await self._one(method, vector, model, n)
        self._lists[method] = result.hits[: self._n_wanted]
        for other in sorted(methods - {method}):
            hits = tuple(_by_rank(result.hits, other)[: self._n_wanted])
            if not _whole(hits, other):
                hits = (await self._one(other, vector, model, self._n_wanted)).hits
            self._lists[other] = hits

    async def _one(self, method: SearchMethod, vector: Vectors | None, model: str, n: int) -> SearchResult:
        by_words = method == "bm25"
        request = SearchRequest(
            user=self._question.user,
            query=self._question.query,
            vector=None if by_words else vector,
            embedding_model="" if by_words else model,
            collections=self._question.collections,
            method=method,
            limit=n,
            filters=self._question.filters,
        )
        result = await self._clients.knowledge.search(request)
        times = result.timings
        if method == "hybrid":
            self._ms |= {"hybrid": times.total_ms}
        self._ms |= {name: ms for name, ms in (("dense", times.dense_ms), ("bm25", times.bm25_ms)) if ms}
        return result

    async def _rerank(self) -> None:
        """Scores of everything that any column wants reranked, from one call."""
        methods = {column.method for column in self._question.columns if column.rerank}
        wanted = {
            key_of(hit): hit
            for method in methods & self._lists.keys()
            for hit in self._lists[method][: self._question.n_candidates]
        }
        if not wanted:
            return
        texts = [hit.passage.text for hit in wanted.values()]
        try:
            ranked = await self._timed("rerank", self._clients.reranker.rank(self._question.query, texts))
        except RaydioError as error:
            self._failed["rerank"] = error
            return
        keys = list(wanted)
        self._scores = {keys[item.index]: item.score for item in ranked}

    def _ranking(self, column: Column) -> Ranking:
        error = self._failed.get(column.method) or (self._failed.get("rerank") if column.rerank else None)
        if error:
            return Ranking(column=column, error=error)
        parts = {
            "embed": self._ms.get("embed", 0.0) if column.method != "bm25" else 0.0,
            "search": self._ms.get(column.method, 0.0),
            "rerank": self._ms.get("rerank", 0.0) if column.rerank else 0.0,
        }
        return Ranking(
            column=column,
            entries=tuple(self._entries(column)[: self._question.k]),
            timings_ms={name: ms for name, ms in parts.items() if ms},
        )

    def _entries(self, column: Column) -> Sequence[Entry]:
        hits = self._lists[column.method]
        if not column.rerank:
            return [Entry(hit=hit, score=hit.score) for hit in hits]
        judged = [hit for hit in hits[: self._question.n_candidates] if key_of(hit) in self._scores]
        judged.sort(key=lambda hit: -self._scores[key_of(hit)])
        return [Entry(hit=hit, score=self._scores[key_of(hit)]) for hit in judged]

    async def _timed(self, name: str, work: Awaitable[Made]) -> Made:
        started_s = time.perf_counter()
        result = await work
        self._ms[name] = (time.perf_counter() - started_s) * 1000
        return result


def _spares_words(error: RaydioError) -> bool:
    """Whether BM25, which needs no vector, can still answer."""
    return isinstance(error, EmbeddingMismatch) or getattr(error, "stage", "") == "embeddings"


def _by_rank(hits: Sequence[Hit], method: SearchMethod) -> list[Hit]:
    """What one of the searches inside a hybrid one found, in its own order and with its own score."""
    if method == "dense":
        found = [replace(hit, score=hit.cosine or 0.0) for hit in hits if hit.dense_rank]
        return sorted(found, key=lambda hit: hit.dense_rank or 0)
    found = [replace(hit, score=hit.bm25 or 0.0) for hit in hits if hit.bm25_rank]
    return sorted(found, key=lambda hit: hit.bm25_rank or 0)


def _whole(hits: Sequence[Hit], method: SearchMethod) -> bool:
    """Whether no rank is missing, which a store that cuts its fused list early could cause."""
    ranks = [hit.dense_rank if method == "dense" else hit.bm25_rank for hit in hits]
    return ranks == list(range(1, len(ranks) + 1))
