"""Protocols of documents, beside those of `serve_apps.contracts`; the engine's is in `contracts_store`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from serve_apps.wire import ModelCard, Span, Vectors
from serve_apps.wire_knowledge import (
    Collection,
    Deleted,
    Document,
    Filters,
    IngestEvent,
    IngestRequest,
    NewDocument,
    Page,
    Passage,
    Retrieval,
    Scored,
    SearchMethod,
    SearchResult,
    Ticket,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """A search as the knowledge stage takes it: the query's words and its vector."""

    user: str
    query: str
    vector: Vectors | None
    """Shape (d,), L2-normalised; None for bm25."""
    embedding_model: str
    """`ModelCard.model` of what made the vector; empty for bm25."""
    collections: tuple[str, ...] = ()
    """Ids; empty: every one that the user may read."""
    method: SearchMethod = "hybrid"
    limit: int = 20
    filters: Filters = field(default_factory=Filters)


@dataclass(frozen=True, slots=True, kw_only=True)
class FindRequest:
    """A question for a knowledge stage that embeds and reranks itself."""

    user: str
    query: str
    wanted: Retrieval
    """Its mode, numbers and lowest score are the caller's business."""
    limit: int
    """Hits, at most."""
    timeout_s: float
    """For embedding and search, and once more for the reranker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FindResult:
    """What a question found, best first, none left out for its score, and how."""

    hits: tuple[Scored, ...]
    spans: tuple[Span, ...]
    """embed, search, rerank; milliseconds since the call came."""
    notes: tuple[str, ...]
    """What was degraded, in words for the user."""
    total_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageVector:
    """A passage with its vector, for maps and exports."""

    document_id: str
    document_name: str
    passage: Passage
    vector: Vectors
    """Shape (d,)."""


# ---- stage -------------------------------------------------------------------------------------


class FindsPassages(Protocol):
    """A knowledge stage that embeds and reranks itself; see `serve_apps.one_call_knowledge`."""

    async def find(self, request: FindRequest) -> FindResult:
        """The passages for a question, best first.

        Raises:
            EmbeddingMismatch, NotFound, InputError: the request.
            StageTimeout: embedding and search took too long.
            StageError: the documents could not be searched.
        """
        ...


class Knowledge(Protocol):
    """The knowledge stage: collections of documents, their passages and vectors.

    Every call names its user, and answers as if what the user may not read did not exist (NotFound).
    """

    async def card(self) -> ModelCard:
        """What stores the vectors."""
        ...

    async def collections(self, user: str) -> list[Collection]:
        """Those the user may read, own ones first, by name. Every user has "Documents", made on first use."""
        ...

    async def create_collection(self, user: str, name: str, *, shared: bool = False) -> Collection:
        """Raises InputError for a name that is taken or empty."""
        ...

    async def change_collection(
        self, user: str, collection_id: str, *, name: str | None = None, shared: bool | None = None
    ) -> Collection:
        """Rename, share, unshare; the owner only (Forbidden)."""
        ...

    async def delete_collection(self, user: str, collection_id: str) -> Deleted:
        """With all its documents; verified like `delete`."""
        ...

    async def documents(self, user: str, collection_id: str) -> list[Document]:
        """By name."""
        ...

    async def document(self, user: str, document_id: str) -> Document:
        """One document."""
        ...

    async def tag(self, user: str, document_id: str, tags: Sequence[str]) -> Document:
        """Replace its tags."""
        ...

    async def begin(
        self, user: str, collection_id: str, document: NewDocument, embedding_model: str, dimensions: int
    ) -> Ticket:
        """Start adding a document; nothing of it can be found before `commit`.

        Raises:
            EmbeddingMismatch: the collection's vectors came from another model.
            Forbidden: the collection is another user's.
        """
        ...

    async def add_pages(self, ticket: Ticket, pages: Sequence[Page], original: bytes | None = None) -> None:
        """Store its pages, and (with the first call) the file itself, for reading.

        A ticket that is not used for 15 minutes is given up; a call without pages renews it.
        """
        ...

    async def add_passages(self, ticket: Ticket, passages: Sequence[Passage], vectors: Vectors) -> None:
        """Store a batch: `vectors` float32, shape (len(passages), d), L2-normalised. Idempotent by index."""
        ...

    async def commit(self, ticket: Ticket) -> Document:
        """Make it findable, durably, in place of a document of the same name; the acknowledgement."""
        ...

    async def abandon(self, ticket: Ticket) -> None:
        """Forget a document that was begun and not committed."""
        ...

    async def delete(self, user: str, document_id: str) -> Deleted:
        """No search returns it from the moment this is called; ends when the store has been counted."""
        ...

    async def search(self, request: SearchRequest) -> SearchResult:
        """The passages nearest to the query; over several collections, merged.

        Raises:
            EmbeddingMismatch: a collection's vectors came from another model.
        """
        ...

    async def neighbours(
        self, user: str, document_id: str, index: int, n_before: int = 1, n_after: int = 1
    ) -> list[Passage]:
        """The passage and those around it, in order."""
        ...

    async def page(self, user: str, document_id: str, number: int) -> Page:
        """One page's text."""
        ...

    async def original(
        self, user: str, document_id: str, start: int = 0, n_bytes: int | None = None
    ) -> bytes:
        """The file as it was given, or up to `n_bytes` of it from byte `start` on."""
        ...

    async def n_vectors(self, user: str, collection_id: str, document_id: str | None = None) -> int:
        """Counted in the vector store itself."""
        ...

    async def vectors(
        self, user: str, collection_id: str, *, limit: int = 10_000, offset: int = 0
    ) -> list[PassageVector]:
        """Passages with their vectors, in document order."""
        ...

    async def begin_reindex(
        self, user: str, collection_id: str, embedding_model: str, dimensions: int
    ) -> str:
        """An id under which new vectors of all passages are gathered beside the old ones."""
        ...

    async def passages(
        self, user: str, collection_id: str, *, limit: int = 1000, offset: int = 0
    ) -> list[tuple[str, Passage]]:
        """(document id, passage) in a stable order: what a re-index embeds."""
        ...

    async def add_reindexed(
        self, reindex_id: str, passages: Sequence[tuple[str, Passage]], vectors: Vectors
    ) -> None:
        """A batch of the new vectors."""
        ...

    async def finish_reindex(self, reindex_id: str) -> Collection:
        """The new vectors take the old ones' place, at once."""
        ...


class Ingest(Protocol):
    """Reads, cuts, embeds and stores documents."""

    def stream_ingest(self, request: IngestRequest) -> AsyncGenerator[IngestEvent, None]:
        """Yield progress, one FileAdded/FileSkipped/FileFailed a file, and IngestDone at the end.

        Closing the iterator cancels: files that were acknowledged stay, the one under way leaves nothing.
        """
        ...

    def stream_reindex(self, user: str, collection_id: str) -> AsyncGenerator[IngestEvent, None]:
        """Embed a collection again with the model that runs now: FileProgress (one "file"), IngestDone."""
        ...
