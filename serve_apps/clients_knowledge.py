"""Typed clients of documents and conversations over Serve handles; see `serve_apps.stage_client`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import cast

import anyio

from serve_apps.contracts_knowledge import FindRequest, FindResult, PassageVector, SearchRequest
from serve_apps.stage_client import StageClient
from serve_apps.wire import ModelCard, Vectors
from serve_apps.wire_conversations import (
    AskRequest,
    Conversation,
    ConversationChange,
    ConversationEvent,
    ConversationSummary,
    Exported,
    ExportFormat,
    Imported,
    ListRequest,
    StoredMessage,
    Thumb,
)
from serve_apps.wire_knowledge import (
    Collection,
    Deleted,
    Document,
    GivenFile,
    IngestEvent,
    IngestRequest,
    NewDocument,
    Page,
    Passage,
    SearchResult,
    Ticket,
)


class KnowledgeClient(StageClient):
    """The knowledge stage over a handle; see `contracts_knowledge.Knowledge`."""

    stage = "knowledge"

    async def card(self) -> ModelCard:
        """See `Knowledge.card`."""
        return cast("ModelCard", await self._call("card"))

    async def collections(self, user: str) -> list[Collection]:
        """See `Knowledge.collections`."""
        return cast("list[Collection]", await self._call("collections", user))

    async def create_collection(self, user: str, name: str, *, shared: bool = False) -> Collection:
        """See `Knowledge.create_collection`."""
        return cast("Collection", await self._call("create_collection", user, name, shared=shared))

    async def change_collection(
        self, user: str, collection_id: str, *, name: str | None = None, shared: bool | None = None
    ) -> Collection:
        """See `Knowledge.change_collection`."""
        return cast(
            "Collection", await self._call("change_collection", user, collection_id, name=name, shared=shared)
        )

    async def delete_collection(self, user: str, collection_id: str) -> Deleted:
        """See `Knowledge.delete_collection`."""
        return cast("Deleted", await self._call("delete_collection", user, collection_id))

    async def documents(self, user: str, collection_id: str) -> list[Document]:
        """See `Knowledge.documents`."""
        return cast("list[Document]", await self._call("documents", user, collection_id))

    async def document(self, user: str, document_id: str) -> Document:
        """See `Knowledge.document`."""
        return cast("Document", await self._call("document", user, document_id))

    async def tag(self, user: str, document_id: str, tags: Sequence[str]) -> Document:
        """See `Knowledge.tag`."""
        return cast("Document", await self._call("tag", user, document_id, tuple(tags)))

    async def begin(
        self, user: str, collection_id: str, document: NewDocument, embedding_model: str, dimensions: int
    ) -> Ticket:
        """See `Knowledge.begin`."""
        given = (user, collection_id, document, embedding_model, dimensions)
        return cast("Ticket", await self._call("begin", *given))

    async def add_pages(self, ticket: Ticket, pages: Sequence[Page], original: bytes | None = None) -> None:
        """See `Knowledge.add_pages`."""
        await self._call("add_pages", ticket, pages, original)

    async def add_passages(self, ticket: Ticket, passages: Sequence[Passage], vectors: Vectors) -> None:
        """See `Knowledge.add_passages`."""
        await self._call("add_passages", ticket, passages, vectors)

    async def commit(self, ticket: Ticket) -> Document:
        """See `Knowledge.commit`."""
        return cast("Document", await self._call("commit", ticket))

    async def abandon(self, ticket: Ticket) -> None:
        """See `Knowledge.abandon`."""
        await self._call("abandon", ticket)

    async def delete(self, user: str, document_id: str) -> Deleted:
        """See `Knowledge.delete`."""
        return cast("Deleted", await self._call("delete", user, document_id))

    async def search(self, request: SearchRequest) -> SearchResult:
        """See `Knowledge.search`."""
        return cast("SearchResult", await self._call("search", request))

    async def find(self, request: FindRequest) -> FindResult:
        """See `FindsPassages.find`; only where the application is `one_call_knowledge`."""
        return cast("FindResult", await self._call("find", request))

    async def neighbours(
        self, user: str, document_id: str, index: int, n_before: int = 1, n_after: int = 1
    ) -> list[Passage]:
        """See `Knowledge.neighbours`."""
        given = (user, document_id, index, n_before, n_after)
        return cast("list[Passage]", await self._call("neighbours", *given))

    async def page(self, user: str, document_id: str, number: int) -> Page:
        """See `Knowledge.page`."""
        return cast("Page", await self._call("page", user, document_id, number))

    async def original(
        self, user: str, document_id: str, start: int = 0, n_bytes: int | None = None
    ) -> bytes:
        """See `Knowledge.original`."""
        return cast("bytes", await self._call("original", user, document_id, start, n_bytes))

    async def n_vectors(self, user: str, collection_id: str, document_id: str | None = None) -> int:
        """See `Knowledge.n_vectors`."""
        return cast("int", await self._call("n_vectors", user, collection_id, document_id))

    async def vectors(
        self, user: str, collection_id: str, *, limit: int = 10_000, offset: int = 0
    ) -> list[PassageVector]:
        """See `Knowledge.vectors`."""
        found = await self._call("vectors", user, collection_id, limit=limit, offset=offset)
        return cast("list[PassageVector]", found)

    async def begin_reindex(
        self, user: str, collection_id: str, embedding_model: str, dimensions: int
    ) -> str:
        """See `Knowledge.begin_reindex`."""
        given = (user, collection_id, embedding_model, dimensions)
        return cast("str", await self._call("begin_reindex", *given))

    async def passages(
        self, user: str, collection_id: str, *, limit: int = 1000, offset: int = 0
    ) -> list[tuple[str, Passage]]:
        """See `Knowledge.passages`."""
        found = await self._call("passages", user, collection_id, limit=limit, offset=offset)
        return cast("list[tuple[str, Passage]]", found)

    async def add_reindexed(
        self, reindex_id: str, passages: Sequence[tuple[str, Passage]], vectors: Vectors
    ) -> None:
        """See `Knowledge.add_reindexed`."""
        await self._call("add_reindexed", reindex_id, passages, vectors)

    async def finish_reindex(self, reindex_id: str) -> Collection:
        """See `Knowledge.finish_reindex`."""
        return cast("Collection", await self._call("finish_reindex", reindex_id))


class IngestClient(StageClient):
    """The ingest conductor over a handle; see `contracts_knowledge.Ingest`. Files travel as bytes."""

    stage = "ingest"

    async def stream_ingest(self, request: IngestRequest) -> AsyncGenerator[IngestEvent, None]:
        """See `Ingest.stream_ingest`."""
        files = tuple([await _carried(file) for file in request.files])
        async for event in self._stream("stream_ingest", replace(request, files=files)):
            yield event

    def stream_reindex(self, user: str, collection_id: str) -> AsyncGenerator[IngestEvent, None]:
        """See `Ingest.stream_reindex`."""
        return self._stream("stream_reindex", user, collection_id)


async def _carried(file: GivenFile) -> GivenFile:
    """The file with its bytes in it: the replica may be on another machine."""
    if not file.path:
        return file
    return replace(file, path="", data=await anyio.Path(file.path).read_bytes())


class ConversationsClient(StageClient):
    """Stored conversations over a handle; see `contracts_conversations.Conversations`."""

    stage = "conversations"

    async def summaries(self, request: ListRequest) -> list[ConversationSummary]:
        """See `Conversations.summaries`."""
        return cast("list[ConversationSummary]", await self._call("summaries", request))

    async def folders(self, user: str) -> tuple[list[str], list[str]]:
        """See `Conversations.folders`."""
        return cast("tuple[list[str], list[str]]", await self._call("folders", user))

    async def open(self, user: str, conversation_id: str) -> Conversation:
        """See `Conversations.open`."""
        return cast("Conversation", await self._call("open", user, conversation_id))

    async def change(self, user: str, conversation_id: str, change: ConversationChange) -> Conversation:
        """See `Conversations.change`."""
        return cast("Conversation", await self._call("change", user, conversation_id, change))

    async def delete(self, user: str, conversation_ids: Sequence[str]) -> int:
        """See `Conversations.delete`."""
        return cast("int", await self._call("delete", user, conversation_ids))

    def ask(self, request: AskRequest) -> AsyncGenerator[ConversationEvent, None]:
        """See `Conversations.ask`."""
        return self._stream("ask", request)

    def follow(self, user: str, conversation_id: str) -> AsyncGenerator[ConversationEvent, None]:
        """See `Conversations.follow`."""
        return self._stream("follow", user, conversation_id)

    async def stop(self, user: str, conversation_id: str) -> None:
        """See `Conversations.stop`."""
        await self._call("stop", user, conversation_id)

    async def feedback(
        self, user: str, message_id: str, thumb: Thumb | None, comment: str = ""
    ) -> StoredMessage:
        """See `Conversations.feedback`."""
        return cast("StoredMessage", await self._call("feedback", user, message_id, thumb, comment))

    async def export(self, user: str, conversation_ids: Sequence[str], as_format: ExportFormat) -> Exported:
        """See `Conversations.export`."""
        return cast("Exported", await self._call("export", user, conversation_ids, as_format))

    async def export_feedback(self, user: str) -> Exported:
        """See `Conversations.export_feedback`."""
        return cast("Exported", await self._call("export_feedback", user))

    async def import_file(self, user: str, data: bytes) -> Imported:
        """See `Conversations.import_file`."""
        return cast("Imported", await self._call("import_file", user, data))
