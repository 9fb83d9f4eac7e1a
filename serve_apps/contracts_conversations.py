"""Protocol of stored conversations, beside those of `serve_apps.contracts`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

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


class Conversations(Protocol):
    """Stored conversations and the answers being written in them. NotFound for what is not the user's."""

    async def summaries(self, request: ListRequest) -> list[ConversationSummary]:
        """Pinned ones first, then newest change first."""
        ...

    async def folders(self, user: str) -> tuple[list[str], list[str]]:
        """Every folder and every tag in use."""
        ...

    async def open(self, user: str, conversation_id: str) -> Conversation:
        """The branch that is shown."""
        ...

    async def change(self, user: str, conversation_id: str, change: ConversationChange) -> Conversation:
        """Rename, file, tag, pin, show another branch."""
        ...

    async def delete(self, user: str, conversation_ids: Sequence[str]) -> int:
        """Really: messages, sources and feedback too; a running answer is stopped. How many were deleted."""
        ...

    def ask(self, request: AskRequest) -> AsyncGenerator[ConversationEvent, None]:
        """Store the question, then answer it: Asked, the turn's events, AnswerStored.

        The answer goes on when this iterator is closed; `stop` ends it, and so does nobody watching it
        (neither this iterator nor a `follow`) for `unwatched_s`.
        """
        ...

    def follow(self, user: str, conversation_id: str) -> AsyncGenerator[ConversationEvent, None]:
        """Join the running answer, from any replica: Joined, the events from there on, AnswerStored.

        Ends at once, empty, when nothing is being written.
        """
        ...

    async def stop(self, user: str, conversation_id: str) -> None:
        """Stop the running answer; what came stays. Nothing happens when there is none."""
        ...

    async def feedback(
        self, user: str, message_id: str, thumb: Thumb | None, comment: str = ""
    ) -> StoredMessage:
        """Thumbs and a comment on an answer; None takes them back."""
        ...

    async def export(self, user: str, conversation_ids: Sequence[str], as_format: ExportFormat) -> Exported:
        """One file; of several conversations one JSON, or a ZIP of Markdown or PDF files. Empty: all."""
        ...

    async def export_feedback(self, user: str) -> Exported:
        """JSONL: question, answer, thumb, comment, model, sources, a line each."""
        ...

    async def import_file(self, user: str, data: bytes) -> Imported:
        """Ours (JSON) or ChatGPT's `conversations.json`, also inside its ZIP; twice changes nothing.

        Raises:
            DocumentUnreadable: neither of them.
        """
        ...
