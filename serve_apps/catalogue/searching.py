"""A search of the knowledge stage: by meaning in the vector store, by words, and both together. Blocking."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import ParamSpec, TypeVar

import numpy as np
from sqlalchemy import Engine

from serve_apps.catalogue.fusion import Ranking, fuse, merged, ranked
from serve_apps.catalogue.search import CatalogueSearch, Plan
from serve_apps.catalogue.words import CatalogueWords
from serve_apps.contracts_knowledge import SearchRequest
from serve_apps.contracts_store import VectorStore
from serve_apps.errors import InputError, StageFailed
from serve_apps.wire_knowledge import SearchResult, SearchTimings

MAX_HITS = 1000
MIN_CANDIDATES = 30
"""What each of the two searches of a hybrid one gives at least: a passage may be low in both and good."""
N_COMPANIONS = 4

P = ParamSpec("P")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """What of a search needs no vector."""

    plan: Plan
    bm25: Ranking
    bm25_ms: float


class KnowledgeSearch:
    """Searches the store, and answers with what the catalogue knows of the finds.

    Args:
        database: the catalogue's.
        store: has the vectors.
        words: searches words; None: the store does.
    """

    def __init__(self, database: Engine, store: VectorStore, words: CatalogueWords | None) -> None:
        self._catalogue = CatalogueSearch(database)
        self._store = store
        self._words = words
        self._companions = ThreadPoolExecutor(N_COMPANIONS, thread_name_prefix="knowledge-words")

    def ahead(self, request: SearchRequest) -> Ahead:
        """What can be done before the query's vector is there: where to look, and the search by words."""
        _check_limits(request)
        plan = self._catalogue.plan(request)
        bm25, bm25_ms = _timed(self._bm25, request, plan)
        return Ahead(plan=plan, bm25=bm25, bm25_ms=bm25_ms)

    def search(self, request: SearchRequest, ahead: Ahead | None = None) -> SearchResult:
        """See `Knowledge.search`; `ahead` of the same request."""
        _check_limits(request)
        _check_vector(request)
        started_s = time.perf_counter()
        try:
            result, is_whole = self._look(request, ahead)
        except StageFailed:  # a collection that was indexed again has another name in the store
            result, is_whole = self._look(request)
        if not is_whole:  # a document was replaced between the two looks into the catalogue
            result, _ = self._look(request)
        total_ms = (time.perf_counter() - started_s) * 1000
        return replace(result, timings=replace(result.timings, total_ms=total_ms))

    def _look(self, request: SearchRequest, ahead: Ahead | None = None) -> tuple[SearchResult, bool]:
        plan = ahead.plan if ahead else self._catalogue.plan(request)
        # Beside each other where a server does the work; Milvus Lite shares Python's lock with us.
        beside = self._store.is_shared and not ahead
        other = self._companions.submit(_timed, self._bm25, request, plan) if beside else None
        dense, dense_ms = _timed(self._dense, request, plan)
        if ahead:
            bm25, bm25_ms = ahead.bm25, ahead.bm25_ms
        else:
            bm25, bm25_ms = other.result() if other else _timed(self._bm25, request, plan)
        found = (fuse if request.method == "hybrid" else ranked)(dense, bm25)[: request.limit]
        hits = self._catalogue.hits(found, plan, request.vector if plan.is_one_model else None)
        timings = SearchTimings(dense_ms=dense_ms, bm25_ms=bm25_ms, total_ms=0.0)
        result = SearchResult(hits=tuple(hits), timings=timings, left_out=plan.left_out)
        return result, len(hits) == len(found)

    def _dense(self, request: SearchRequest, plan: Plan) -> Ranking:
        if request.method == "bm25" or request.vector is None:
            return []
        limit = _candidates(request)
        found = [
            self._store.dense(place.store_name, request.vector, limit, plan.scope) for place in plan.places
        ]
        return merged(found, limit)

    def _bm25(self, request: SearchRequest, plan: Plan) -> Ranking:
        if request.method == "dense":
            return []
        limit = _candidates(request)
        if self._words is not None:
            return self._words.search(request.query, plan, limit)
        found = [
            self._store.bm25(place.store_name, request.query, limit, plan.scope) for place in plan.places
        ]
        return merged(found, limit)

    def close(self) -> None:
        """End its threads."""
        self._companions.shutdown()


def _timed(call: Callable[P, Result], *args: P.args, **options: P.kwargs) -> tuple[Result, float]:
    started_s = time.perf_counter()
    result = call(*args, **options)
    return result, (time.perf_counter() - started_s) * 1000


def _candidates(request: SearchRequest) -> int:
    return max(MIN_CANDIDATES, 2 * request.limit) if request.method == "hybrid" else request.limit


def _check_limits(request: SearchRequest) -> None:
    if not 1 <= request.limit <= MAX_HITS:
        raise InputError(f"A search gives 1 to {MAX_HITS:,} passages.", "Ask for fewer.")
    if request.method not in ("hybrid", "dense", "bm25"):
        raise InputError(f"There is no search {request.method!r}.", "Use hybrid, dense or bm25.")


def _check_vector(request: SearchRequest) -> None:
    if request.method == "bm25":
        return
    if request.vector is None or request.vector.ndim != 1 or not np.all(np.isfinite(request.vector)):
        raise InputError("This search needs the query's vector.", "Embed the query first.")
