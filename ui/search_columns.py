"""One query searched in several ways at once: one embedding, one search a method, one reranking for all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from serve_apps.contracts import Clients
from serve_apps.contracts_knowledge import SearchRequest
from serve_apps.errors import RaydioError
from serve_apps.wire import Vectors
from serve_apps.wire_knowledge import Filters, Hit, SearchMethod

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
    n_candidates: int = 10
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
        by_meaning = methods - {"bm25"}
        await asyncio.gather(
            self._by_meaning(by_meaning),
            *(self._found(method, None, "") for method in methods - by_meaning),
        )
        if not self._lists and self._failed:
            raise next(iter(self._failed.values()))

    async def _by_meaning(self, methods: set[SearchMethod]) -> None:
        """Searches that need the query's vector, made once for all of them."""
        if not methods:
            return
        try:
            card = (await self._clients.embeddings.describe()).card
            vectors = await self._timed("embed", self._clients.embeddings.embed([self._question.query]))
        except RaydioError as error:
            self._failed |= dict.fromkeys(methods, error)
            return
        await asyncio.gather(*(self._found(method, vectors[0], card.model) for method in methods))

    async def _found(self, method: SearchMethod, vector: Vectors | None, model: str) -> None:
        """One search, exactly as chat would make it with these settings."""
        request = SearchRequest(
            user=self._question.user,
            query=self._question.query,
            vector=vector,
            embedding_model=model,
            collections=self._question.collections,
            method=method,
            limit=self._n_wanted,
            filters=self._question.filters,
        )
        try:
            result = await self._clients.knowledge.search(request)
        except RaydioError as error:
            self._failed[method] = error
            return
        self._lists[method] = result.hits
        self._ms[method] = result.timings.total_ms

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
