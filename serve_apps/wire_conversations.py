"""Values of stored conversations: a tree of messages, of which one branch is shown.

Plain frozen dataclasses, like `serve_apps.wire`. Times are Unix seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from serve_apps.wire import Source, Span, TurnEvent, TurnRequest

MessageStatus = Literal["sent", "writing", "done", "stopped", "failed", "interrupted"]
"""`sent`: the user's. The others are the answer's: `interrupted` means that its replica died."""
Thumb = Literal["up", "down"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMessage:
    """One message of the branch that is shown."""

    id: str
    role: Literal["user", "assistant"]
    text: str
    status: MessageStatus
    created_s: float
    parent_id: str | None = None
    sources: tuple[Source, ...] = ()
    waterfall: tuple[Span, ...] = ()
    tokens_per_s: float = 0.0
    first_token_ms: float = 0.0
    n_tokens: int = 0
    notes: tuple[str, ...] = ()
    error: str = ""
    """What happened and what to do, when it failed."""
    error_code: str = ""
    model: str = ""
    thumb: Thumb | None = None
    comment: str = ""
    branch: int = 1
    n_branches: int = 1
    """The how-manieth of the versions at this place it is, from 1; `siblings` are their ids in order."""
    siblings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationSummary:
    """A line of the list."""

    id: str
    title: str
    created_s: float
    updated_s: float
    folder: str = ""
    tags: tuple[str, ...] = ()
    pinned: bool = False
    running: bool = False
    """An answer is being written."""
    excerpt: str = ""
    """Where a search found its words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A conversation, opened: the branch that is shown, oldest first."""

    summary: ConversationSummary
    messages: tuple[StoredMessage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRequest:
    """What to list: newest change first, pinned ones before all."""

    user: str
    search: str = ""
    """Words that titles or messages hold, in any case."""
    folder: str | None = None
    tag: str | None = None
    limit: int = 50
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationChange:
    """New values; None leaves as it is."""

    title: str | None = None
    folder: str | None = None
    tags: tuple[str, ...] | None = None
    pinned: bool | None = None
    shown: str | None = None
    """A message's id: the branch that goes through it is shown from now on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskRequest:
    """A question in a stored conversation."""

    user: str
    text: str
    conversation_id: str | None = None
    """None: a new conversation."""
    parent_id: str | None = None
    """The message it follows; None: the last one shown. An earlier one makes a branch (edit)."""
    from_start: bool = False
    """The question takes the place of the first one: a branch without a parent."""
    answer_again: str | None = None
    """A user message's id: answer it again (a branch of answers); `text` is then not read."""
    turn: TurnRequest = field(default_factory=lambda: TurnRequest(messages=()))
    """Settings of the turn; its `messages` are filled in from the conversation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The question is stored: it survives any crash. The first event of an answer's stream."""

    conversation: ConversationSummary
    question: StoredMessage
    answer_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """The first event of `follow`: what the answer holds so far; what comes continues it."""

    conversation: ConversationSummary
    answer: StoredMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerStored:
    """The last event: the answer as it is stored, whole, stopped or failed."""

    answer: StoredMessage


ConversationEvent = Asked | Joined | AnswerStored | TurnEvent
"""Asked (or Joined), then the turn's events, then AnswerStored."""

ExportFormat = Literal["markdown", "json", "pdf"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A file to save."""

    name: str
    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import did."""

    n_conversations: int
    n_messages: int
    n_skipped: int
    """There already, or empty."""
    problems: tuple[str, ...] = ()
