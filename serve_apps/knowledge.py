"""The knowledge stage: documents in collections, and the passages in them that answer a query.

The catalogue (SQL) is the truth; the vector store holds copies of its vectors. Changes of both are made on
one thread, in turn; searches run beside them.
"""

# No `from __future__ import annotations`: Serve checks `args:` only against an annotation that is a class.

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ray.serve import Application

from serve_apps import engines
from serve_apps.args import KnowledgeArgs
from serve_apps.contracts_knowledge import PassageVector, SearchRequest
from serve_apps.contracts_store import VectorStore
from serve_apps.errors import InputError, StageFailed, StageUnavailable
from serve_apps.metrics import StageMeter
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
    Ticket,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["KnowledgeStage", "app"]

logger = logging.getLogger(__name__)

SWEEP_S = 60.0
"""How often what was given up is looked for."""


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
        from serve_apps.catalogue.documents import Catalogue  # noqa: PLC0415
        from serve_apps.catalogue.index import KnowledgeIndex  # noqa: PLC0415
        from serve_apps.catalogue.searching import KnowledgeSearch  # noqa: PLC0415
        from serve_apps.catalogue.threads import KnowledgeThreads  # noqa: PLC0415
        from serve_apps.catalogue.words import CatalogueWords  # noqa: PLC0415
        from serve_apps.database import engine  # noqa: PLC0415

        where = database or engine()
        make: Any = store_class or engines.engine_class("knowledge", args.engine)
        words = CatalogueWords(where) if where.dialect.name == "sqlite" else None
        self._store: VectorStore = make(args, words=words is None)
        self._catalogue = Catalogue(where)
        self._index = KnowledgeIndex(where, self._store, words)
        self._search = KnowledgeSearch(where, self._store, words)
        self._meter = StageMeter(self._store.card)
        self._threads = KnowledgeThreads(self._meter, args.max_waiting, self._index.recover)
        self._sweep_at_s = time.monotonic() + SWEEP_S
        try:
            self._threads.prepare()
        except StageUnavailable as error:
            logger.warning("%s Trying again with the next call.", error)

    # ---- collections and documents -------------------------------------------------------------

    async def card(self) -> ModelCard:
        """See `Knowledge.card`."""
        return self._store.card

    async def collections(self, user: str) -> list[Collection]:
        """See `Knowledge.collections`."""
        return await self._threads.beside(self._catalogue.collections, user)

    async def create_collection(self, user: str, name: str, *, shared: bool = False) -> Collection:
        """See `Knowledge.create_collection`."""
        return await self._threads.beside(self._catalogue.create_collection, user, name, shared=shared)

    async def change_collection(
        self, user: str, collection_id: str, *, name: str | None = None, shared: bool | None = None
    ) -> Collection:
        """See `Knowledge.change_collection`."""
        return await self._threads.beside(
            self._catalogue.change_collection, user, collection_id, name, shared
        )

    async def delete_collection(self, user: str, collection_id: str) -> Deleted:
        """See `Knowledge.delete_collection`."""
        leaving = await self._threads.beside(self._index.hide_collection, user, collection_id)
        return await self._threads.in_turn(self._index.purge_collection, collection_id, leaving)

    async def documents(self, user: str, collection_id: str) -> list[Document]:
        """See `Knowledge.documents`."""
        return await self._threads.beside(self._catalogue.documents, user, collection_id)

    async def document(self, user: str, document_id: str) -> Document:
        """See `Knowledge.document`."""
        return await self._threads.beside(self._catalogue.document, user, document_id)

    async def tag(self, user: str, document_id: str, tags: Sequence[str]) -> Document:
        """See `Knowledge.tag`."""
        return await self._threads.beside(self._catalogue.tag, user, document_id, tags)

    async def page(self, user: str, document_id: str, number: int) -> Page:
        """See `Knowledge.page`."""
        return await self._threads.beside(self._catalogue.page, user, document_id, number)

    async def original(
        self, user: str, document_id: str, start: int = 0, n_bytes: int | None = None
    ) -> bytes:
        """See `Knowledge.original`."""
        return await self._threads.beside(self._catalogue.original, user, document_id, start, n_bytes)

    async def neighbours(
        self, user: str, document_id: str, index: int, n_before: int = 1, n_after: int = 1
    ) -> list[Passage]:
        """See `Knowledge.neighbours`."""
        first, last = index - max(0, n_before), index + max(0, n_after)
        return await self._threads.beside(self._catalogue.neighbours, user, document_id, first, last)

    # ---- adding and deleting -------------------------------------------------------------------

    async def begin(
        self, user: str, collection_id: str, document: NewDocument, embedding_model: str, dimensions: int
    ) -> Ticket:
        """See `Knowledge.begin`."""
        return await self._threads.in_turn(
            self._index.begin, user, collection_id, document, embedding_model, dimensions
        )

    async def add_pages(self, ticket: Ticket, pages: Sequence[Page], original: bytes | None = None) -> None:
        """See `Knowledge.add_pages`."""
        await self._threads.beside(self._index.add_pages, ticket, pages, original)

    async def add_passages(self, ticket: Ticket, passages: Sequence[Passage], vectors: Vectors) -> None:
        """See `Knowledge.add_passages`."""
        _check_vectors(len(passages), vectors)
        if passages:
            await self._threads.in_turn(self._index.add_passages, ticket, passages, vectors)

    async def commit(self, ticket: Ticket) -> Document:
        """See `Knowledge.commit`."""
        return await self._threads.in_turn(self._index.commit, ticket)

    async def abandon(self, ticket: Ticket) -> None:
        """See `Knowledge.abandon`."""
        await self._threads.in_turn(self._index.abandon, ticket)

    async def delete(self, user: str, document_id: str) -> Deleted:
        """See `Knowledge.delete`."""
        leaving = await self._threads.beside(self._index.hide, user, document_id)
        return await self._threads.in_turn(self._index.purge, leaving)

    # ---- search --------------------------------------------------------------------------------

    async def search(self, request: SearchRequest) -> SearchResult:
        """See `Knowledge.search`."""
        await self._threads.prepared()
        return await self._threads.beside(self._search.search, request)

    # ---- vectors and re-index ------------------------------------------------------------------

    async def n_vectors(self, user: str, collection_id: str, document_id: str | None = None) -> int:
        """See `Knowledge.n_vectors`."""
        await self._threads.prepared()
        return await self._threads.beside(self._n_vectors, user, collection_id, document_id)

    async def vectors(
        self, user: str, collection_id: str, *, limit: int = 10_000, offset: int = 0
    ) -> list[PassageVector]:
        """See `Knowledge.vectors`."""
        return await self._threads.beside(self._catalogue.vectors, user, collection_id, limit, offset)

    async def begin_reindex(
        self, user: str, collection_id: str, embedding_model: str, dimensions: int
    ) -> str:
        """See `Knowledge.begin_reindex`."""
        given = (user, collection_id, embedding_model, dimensions)
        return await self._threads.in_turn(self._index.begin_reindex, *given)

    async def passages(
        self, user: str, collection_id: str, *, limit: int = 1000, offset: int = 0
    ) -> list[tuple[str, Passage]]:
        """See `Knowledge.passages`."""
        return await self._threads.beside(self._catalogue.passages, user, collection_id, limit, offset)

    async def add_reindexed(
        self, reindex_id: str, passages: Sequence[tuple[str, Passage]], vectors: Vectors
    ) -> None:
        """See `Knowledge.add_reindexed`."""
        _check_vectors(len(passages), vectors)
        if passages:
            await self._threads.in_turn(self._index.add_reindexed, reindex_id, passages, vectors)

    async def finish_reindex(self, reindex_id: str) -> Collection:
        """See `Knowledge.finish_reindex`."""
        return await self._threads.in_turn(self._finish_reindex, reindex_id)

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
        if time.monotonic() > self._sweep_at_s:
            self._sweep_at_s = time.monotonic() + SWEEP_S
            self._threads.soon(self._index.sweep)
            self._threads.soon(self._index.scrub)
        self._threads.soon(self._index.tidy)
        if self._threads.is_stuck:
            raise StageFailed("knowledge", "The vector store hangs.", "Serve replaces this replica.")

    def close(self) -> None:
        """Finish what is being written, and let the store go."""
        self._threads.close()
        self._search.close()
        self._store.close()


def _check_vectors(n_passages: int, vectors: Vectors) -> None:
    if vectors.ndim != 2 or len(vectors) != n_passages or not np.all(np.isfinite(vectors)):  # noqa: PLR2004
        raise InputError(
            f"{n_passages} passages came with vectors of shape {vectors.shape}.", "Give one for each."
        )


def app(args: KnowledgeArgs) -> Application:
    """The knowledge application of a Serve config."""
    return stage_deployment("knowledge", KnowledgeStage, n_calls=args.max_waiting).bind(args)
