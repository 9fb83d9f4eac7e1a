"""What a client may say: the events of the Realtime protocol and our own, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from serve_apps.realtime.config import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateSession:
    """`session.update`: the settings as they will stand, already checked."""

    session: Session


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendAudio:
    """`input_audio_buffer.append`."""

    data: bytes
    """In the session's input format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitAudio:
    """`input_audio_buffer.commit`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearAudio:
    """`input_audio_buffer.clear`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewItem:
    """A message that a client adds: text and, from a user, sound."""

    id: str = ""
    """Empty: the server names it."""
    role: Literal["system", "user", "assistant"]
    text: str = ""
    """All text parts; of an assistant's spoken part its transcript."""
    audio: bytes = b""
    """All `input_audio` parts, in the session's input format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateItem:
    """`conversation.item.create`."""

    item: NewItem
    previous_item_id: str | None = None
    """None: at the end; `root`: at the beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrieveItem:
    """`conversation.item.retrieve`."""

    item_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteItem:
    """`conversation.item.delete`."""

    item_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TruncateItem:
    """`conversation.item.truncate`: the client played this much of an answer and dropped the rest."""

    item_id: str
    content_index: int
    audio_end_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseOptions:
    """What `response.create` may change for one response."""

    session: Session
    """The session's settings with the response's laid over them."""
    in_conversation: bool = True
    """False for `conversation: "none"`: the answer is not kept."""
    input: tuple[NewItem | str, ...] | None = None
    """Messages, or ids of items, to answer instead of the conversation."""
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateResponse:
    """`response.create`."""

    options: ResponseOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelResponse:
    """`response.cancel`."""

    response_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearOutput:
    """`output_audio_buffer.clear`: stop speaking, and forget what was not played."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybackReport:
    """`raydio.playback`: how much of an answer's sound the user has heard."""

    item_id: str
    played_ms: float
    playing: bool


ClientEvent = (
    UpdateSession
    | AppendAudio
    | CommitAudio
    | ClearAudio
    | CreateItem
    | RetrieveItem
    | DeleteItem
    | TruncateItem
    | CreateResponse
    | CancelResponse
    | ClearOutput
    | PlaybackReport
)
