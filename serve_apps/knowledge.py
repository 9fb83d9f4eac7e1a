"""The knowledge stage: documents in collections, and the passages in them that answer a query.

The catalogue (SQL) is the truth; the vector store holds copies of its vectors. Changes of both are made on
one thread, in turn; searches run beside them.
"""

# No `from __future__ import annotations`: Serve checks `args:` only against an annotation that is a class.

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
from ray.serve import Application

from serve_apps import engines
from serve_apps.args import KnowledgeArgs
from serve_apps.contracts_knowledge import PassageVector, SearchRequest, VectorStore
from serve_apps.errors import InputError, RaydioError, StageBusy, StageFailed, StageUnavailable
from serve_apps.fusion import Ranking, fuse, merged, ranked
from serve_apps.metrics import Running, StageMeter
from serve_apps.stage_deployment import stage_deployment
from serve_apps.wire import ModelCard, StageReport, Vectors
from serve_apps.wire_knowledge import (
    Collection,
    Deleted,
    Document,
    NewDocument,
    Page,
    Passage,
    SearchResult,
    SearchTimings,
    Ticket,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from serve_apps.catalogue_search import Plan

__all__ = ["KnowledgeStage", "app"]

N_READERS = 4
MAX_HITS = 1000
MIN_CANDIDATES = 30
"""What each of the two searches of a hybrid one gives at least: a passage may be low in both and good."""
SWEEP_S = 60.0
RETRY_S = 1.0
"""Pause between attempts to reach a store that was away when this replica started."""
STUCK_S = 60.0
"""A search that runs this long has hung: the health check fails and Serve replaces the replica."""

P = ParamSpec("P")
Result = TypeVar("Result")


class KnowledgeStage:
    """Implements `contracts_knowledge.Knowledge`.

    Args:
        args: the engine and its options.
        store_class: the engine instead of the configured one.
        database: the catalogue's database instead of the process's.
    """

    def __init__(
        self,
        args: KnowledgeArgs,
        store_class: Callable[..., VectorStore] | None = None,
        database: "Engine | None" = None,
    ) -> None:
        # SQLAlchemy is for the replica; the deploying process imports this module, too.
        from serve_apps.catalogue import Catalogue  # noqa: PLC0415
        from serve_apps.catalogue_search import CatalogueSearch  # noqa: PLC0415
        from serve_apps.catalogue_words import CatalogueWords  # noqa: PLC0415
        from serve_apps.database import engine  # noqa: PLC0415
        from serve_apps.knowledge_index import KnowledgeIndex  # noqa: PLC0415

        where = database or engine()
        make: Any = store_class or engines.engine_class("knowledge", args.engine)
        self._args = args
        self._searcher = CatalogueSearch(where)
        self._words = CatalogueWords(where) if where.dialect.name == "sqlite" else None
        self._store: VectorStore = make(args, words=self._words is None)
        self._catalogue = Catalogue(where)
        self._index = KnowledgeIndex(where, self._store)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="knowledge-writer")
        self._readers = ThreadPoolExecutor(N_READERS, thread_name_prefix="knowledge-reader")
        self._companions = ThreadPoolExecutor(N_READERS, thread_name_prefix="knowledge-words")
        self._meter = StageMeter(self._store.card)
        self._recovered = False
        self._sweep_at_s = time.monotonic() + SWEEP_S
        self._search_started_s: dict[int, float] = {}
        self._recover()

    # ---- collections and documents -------------------------------------------------------------

    async def card(self) -> ModelCard:
        """See `Knowledge.card`."""
        return self._store.card

    async def collections(self, user: str) -> list[Collection]:
        """See `Knowledge.collections`."""
        return await self._read(self._catalogue.collections, user)

    async def create_collection(self, user: str, name: str, *, shared: bool = False) -> Collection:
        """See `Knowledge.create_collection`."""
        return await self._write(lambda: self._catalogue.create_collection(user, name, shared=shared))

    async def change_collection(
        self, user: str, collection_id: str, *, name: str | None = None, shared: bool | None = None
    ) -> Collection:
        """See `Knowledge.change_collection`."""
        return await self._write(self._catalogue.change_collection, user, collection_id, name, shared)

    async def delete_collection(self, user: str, collection_id: str) -> Deleted:
        """See `Knowledge.delete_collection`."""
        return await self._write(self._index.delete_collection, user, collection_id)

    async def documents(self, user: str, collection_id: str) -> list[Document]:
        """See `Knowledge.documents`."""
        return await self._read(self._catalogue.documents, user, collection_id)

    async def document(self, user: str, document_id: str) -> Document:
        """See `Knowledge.document`."""
        return await self._read(self._catalogue.document, user, document_id)

    async def tag(self, user: str, document_id: str, tags: Sequence[str]) -> Document:
        """See `Knowledge.tag`."""
        return await self._write(self._catalogue.tag, user, document_id, tags)

    async def page(self, user: str, document_id: str, number: int) -> Page:
        """See `Knowledge.page`."""
        return await self._read(self._catalogue.page, user, document_id, number)

    async def original(self, user: str, document_id: str) -> bytes:
        """See `Knowledge.original`."""
        return await self._read(self._catalogue.original, user, document_id)

    async def neighbours(
        self, user: str, document_id: str, index: int, n_before: int = 1, n_after: int = 1
    ) -> list[Passage]:
        """See `Knowledge.neighbours`."""
        first, last = index - max(0, n_before), index + max(0, n_after)
        return await self._read(self._catalogue.neighbours, user, document_id, first, last)

    # ---- adding and deleting -------------------------------------------------------------------

    async def begin(
        self, user: str, collection_id: str, document: NewDocument, embedding_model: str, dimensions: int
    ) -> Ticket:
        """See `Knowledge.begin`."""
        return await self._write(
            self._index.begin, user, collection_id, document, embedding_model, dimensions
        )

    async def add_pages(self, ticket: Ticket, pages: Sequence[Page], original: bytes | None = None) -> None:
        """See `Knowledge.add_pages`."""
        await self._write(self._index.add_pages, ticket, pages, original)

    async def add_passages(self, ticket: Ticket, passages: Sequence[Passage], vectors: Vectors) -> None:
        """See `Knowledge.add_passages`."""
        _check_vectors(len(passages), vectors)
        if passages:
            await self._write(self._index.add_passages, ticket, passages, vectors)

    async def commit(self, ticket: Ticket) -> Document:
        """See `Knowledge.commit`."""
        return await self._write(self._index.commit, ticket)

    async def abandon(self, ticket: Ticket) -> None:
        """See `Knowledge.abandon`."""
        await self._write(self._index.abandon, ticket)

    async def delete(self, user: str, document_id: str) -> Deleted:
        """See `Knowledge.delete`."""
        return await self._write(self._index.delete, user, document_id)

    # ---- search --------------------------------------------------------------------------------

    async def search(self, request: SearchRequest) -> SearchResult:
        """See `Knowledge.search`."""
        _check_search(request)
        return await self._read(self._search, request)

    def _search(self, request: SearchRequest) -> SearchResult:
        started_s = time.perf_counter()
        result, is_whole = self._look(request)
        if not is_whole:  # a document was replaced between the two looks into the catalogue
            result, _ = self._look(request)
        total_ms = (time.perf_counter() - started_s) * 1000
        return replace(result, timings=replace(result.timings, total_ms=total_ms))

    def _look(self, request: SearchRequest) -> tuple[SearchResult, bool]:
        plan = self._searcher.plan(request)
        # Beside each other where a server does the work; Milvus Lite shares Python's lock with us.
        other = self._companions.submit(_timed, self._bm25, request, plan) if self._store.is_shared else None
        dense, dense_ms = _timed(self._dense, request, plan)
        bm25, bm25_ms = other.result() if other else _timed(self._bm25, request, plan)
        found = (fuse if request.method == "hybrid" else ranked)(dense, bm25)[: request.limit]
        hits = self._searcher.hits(found, plan, request.vector)
        timings = SearchTimings(dense_ms=dense_ms, bm25_ms=bm25_ms, total_ms=0.0)
        return SearchResult(hits=tuple(hits), timings=timings), len(hits) == len(found)

    def _dense(self, request: SearchRequest, plan: "Plan") -> Ranking:
        if request.method == "bm25" or request.vector is None:
            return []
        limit = _candidates(request)
        found = [
            self._store.dense(place.store_name, request.vector, limit, plan.scope) for place in plan.places
        ]
        return merged(found, limit)

    def _bm25(self, request: SearchRequest, plan: "Plan") -> Ranking:
        if request.method == "dense":
            return []
        limit = _candidates(request)
        if self._words is not None:
            return self._words.search(request.query, plan, limit)
        found = [
            self._store.bm25(place.store_name, request.query, limit, plan.scope) for place in plan.places
        ]
        return merged(found, limit)

    # ---- vectors and re-index ------------------------------------------------------------------

    async def n_vectors(self, user: str, collection_id: str, document_id: str | None = None) -> int:
        """See `Knowledge.n_vectors`."""
        return await self._read(self._n_vectors, user, collection_id, document_id)

    async def vectors(
        self, user: str, collection_id: str, *, limit: int = 10_000, offset: int = 0
    ) -> list[PassageVector]:
        """See `Knowledge.vectors`."""
        return await self._read(self._catalogue.vectors, user, collection_id, limit, offset)

    async def begin_reindex(
        self, user: str, collection_id: str, embedding_model: str, dimensions: int
    ) -> str:
        """See `Knowledge.begin_reindex`."""
        given = (user, collection_id, embedding_model, dimensions)
        return await self._write(self._index.begin_reindex, *given)

    async def passages(
        self, user: str, collection_id: str, *, limit: int = 1000, offset: int = 0
    ) -> list[tuple[str, Passage]]:
        """See `Knowledge.passages`."""
        return await self._read(self._catalogue.passages, user, collection_id, limit, offset)

    async def add_reindexed(
        self, reindex_id: str, passages: Sequence[tuple[str, Passage]], vectors: Vectors
    ) -> None:
        """See `Knowledge.add_reindexed`."""
        _check_vectors(len(passages), vectors)
        if passages:
            await self._write(self._index.add_reindexed, reindex_id, passages, vectors)

    async def finish_reindex(self, reindex_id: str) -> Collection:
        """See `Knowledge.finish_reindex`."""
        return await self._write(self._finish_reindex, reindex_id)

    def _n_vectors(self, user: str, collection_id: str, document_id: str | None) -> int:
        name, scope = self._catalogue.stored(user, collection_id, document_id)
        return self._store.count(name, scope) if name else 0

    def _finish_reindex(self, reindex_id: str) -> Collection:
        return self._catalogue.known_collection(self._index.finish_reindex(reindex_id))

    # ---- the replica ---------------------------------------------------------------------------

    async def describe(self) -> StageReport:
        """What stores the vectors, and this replica's counters."""
        return self._meter.report()

    async def check_health(self) -> None:
        """Called by Serve, every second: also the clock of the sweep.

        Raises:
            StageFailed: one search has been running for a minute.
        """
        if self._recovered and time.monotonic() > self._sweep_at_s:
            self._sweep_at_s = time.monotonic() + SWEEP_S
            self._writer.submit(self._index.sweep)
        started_s = min(self._search_started_s.values(), default=time.monotonic())
        if time.monotonic() - started_s > STUCK_S:
            raise StageFailed("knowledge", "The vector store hangs.", "Serve replaces this replica.")

    def close(self) -> None:
        """Finish what is being written, and let the store go."""
        self._writer.shutdown()
        self._readers.shutdown()
        self._companions.shutdown()
        self._store.close()

    def _recover(self) -> None:
        """Once, before anything else is done with the store: when it can be reached."""
        if self._recovered:
            return
        self._index.recover()
        self._recovered = True

    def _request(self) -> AbstractContextManager[Running]:
        if self._meter.n_running >= self._args.max_waiting + N_READERS:
            raise StageBusy(
                "knowledge",
                f"{self._meter.n_running} calls wait for the knowledge stage already.",
                "Try again in a moment.",
                1.0,
            )
        return self._meter.request()

    async def _read(self, call: Callable[P, Result], *args: P.args, **options: P.kwargs) -> Result:
        with self._request() as running:
            result = await self._on_reader(call, *args, **options)
            running.first_output()
        return result

    async def _write(self, call: Callable[P, Result], *args: P.args, **options: P.kwargs) -> Result:
        """In turn, after what other processes may have left; a caller that goes away does not stop it."""
        with self._request() as running:
            result = await self._on(self._writer, partial(self._written, partial(call, *args, **options)))
            running.first_output()
        return result

    def _written(self, call: Callable[[], Result]) -> Result:
        self._recover()
        return call()

    async def _on_reader(self, call: Callable[P, Result], *args: P.args, **options: P.kwargs) -> Result:
        if not self._recovered:
            await self._on(self._writer, self._recover)
        return await self._on(self._readers, partial(call, *args, **options))

    async def _on(self, threads: ThreadPoolExecutor, call: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, call)
        except RaydioError:
            raise
        except Exception as error:  # whatever the libraries raise, callers get one type
            raise _failed(error) from error


def _failed(error: Exception) -> RaydioError:
    if type(error).__name__ == "OperationalError":
        return StageUnavailable(
            "knowledge",
            "The catalogue's database does not answer.",
            "Look whether the database at DATABASE_URL runs.",
            RETRY_S,
        )
    return StageFailed(
        "knowledge", f"The knowledge stage failed: {type(error).__name__}.", "The replica's log has more."
    )


def _timed(call: Callable[P, Result], *args: P.args, **options: P.kwargs) -> tuple[Result, float]:
    started_s = time.perf_counter()
    result = call(*args, **options)
    return result, (time.perf_counter() - started_s) * 1000


def _candidates(request: SearchRequest) -> int:
    return max(MIN_CANDIDATES, 2 * request.limit) if request.method == "hybrid" else request.limit


def _check_search(request: SearchRequest) -> None:
    if not 1 <= request.limit <= MAX_HITS:
        raise InputError(f"A search gives 1 to {MAX_HITS:,} passages.", "Ask for fewer.")
    if request.method not in ("hybrid", "dense", "bm25"):
        raise InputError(f"There is no search {request.method!r}.", "Use hybrid, dense or bm25.")
    if request.method == "bm25":
        return
    if request.vector is None or request.vector.ndim != 1 or not np.all(np.isfinite(request.vector)):
        raise InputError("This search needs the query's vector.", "Embed the query first.")


def _check_vectors(n_passages: int, vectors: Vectors) -> None:
    if vectors.ndim != 2 or len(vectors) != n_passages or not np.all(np.isfinite(vectors)):  # noqa: PLR2004
        raise InputError(
            f"{n_passages} passages came with vectors of shape {vectors.shape}.", "Give one for each."
        )


def app(args: KnowledgeArgs) -> Application:
    """The knowledge application of a Serve config."""
    return stage_deployment("knowledge", KnowledgeStage, n_calls=args.max_waiting).bind(args)
