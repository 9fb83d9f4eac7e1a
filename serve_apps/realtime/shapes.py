"""A client's events as they are sent, and the values that they become."""

from __future__ import annotations

import binascii
from abc import abstractmethod
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serve_apps.errors import ProtocolError
from serve_apps.realtime import client_events as said
from serve_apps.realtime.config import Session
from serve_apps.realtime.settings_update import for_response, updated
from serve_apps.realtime.wrong_fields import wrong_field

_Id = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]


class _Shape(BaseModel):
    """Strict: an unknown field, or a number in quotes, is an error that its sender should hear of."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Event(_Shape):
    """What all events can do."""

    @abstractmethod
    def value(self, session: Session, /) -> said.ClientEvent:
        """The event as the session takes it.

        Raises:
            ProtocolError: a value that has the right type and is wrong all the same.
        """


class _Part(_Shape):
    type: Literal["input_text", "text", "output_text", "input_audio", "audio", "output_audio"]
    text: str | None = None
    audio: str | None = None
    transcript: str | None = None


class _Message(_Shape):
    type: Literal["message"]
    id: _Id | None = None
    object: str | None = None
    status: str | None = None
    role: Literal["system", "user", "assistant"]
    content: list[_Part] = Field(min_length=1)

    def item(self, path: str) -> said.NewItem:
        """The message as the conversation takes it: its text, and of a user its sound.

        A user's sound is transcribed here, so its transcript counts only where the sound is missing.
        """
        texts, sounds = [], []
        for n, part in enumerate(self.content):
            if self.role == "user" and part.audio:
                sounds.append(_bytes(part.audio, f"{path}.content.{n}.audio"))
            else:
                texts.append(part.text or part.transcript or "")
        item = said.NewItem(
            id=self.id or "",
            role=self.role,
            text="\n".join(text for text in texts if text),
            audio=b"".join(sounds),
        )
        if not item.text.strip() and not item.audio:
            raise ProtocolError("The message says nothing.", "Give it text or audio.", f"{path}.content")
        return item


class _Reference(_Shape):
    type: Literal["item_reference"]
    id: _Id


class _SessionUpdate(Event):
    type: Literal["session.update"]
    session: dict[str, Any]

    def value(self, session: Session, /) -> said.UpdateSession:
        return said.UpdateSession(session=updated(session, self.session))


class _Append(Event):
    type: Literal["input_audio_buffer.append"]
    audio: str

    def value(self, _: Session, /) -> said.AppendAudio:
        return said.AppendAudio(data=_bytes(self.audio, "audio"))


class _Commit(Event):
    type: Literal["input_audio_buffer.commit"]

    def value(self, _: Session, /) -> said.CommitAudio:
        return said.CommitAudio()


class _Clear(Event):
    type: Literal["input_audio_buffer.clear"]

    def value(self, _: Session, /) -> said.ClearAudio:
        return said.ClearAudio()


class _Create(Event):
    type: Literal["conversation.item.create"]
    item: _Message
    previous_item_id: _Id | None = None

    def value(self, _: Session, /) -> said.CreateItem:
        return said.CreateItem(item=self.item.item("item"), previous_item_id=self.previous_item_id)


class _Retrieve(Event):
    type: Literal["conversation.item.retrieve"]
    item_id: _Id

    def value(self, _: Session, /) -> said.RetrieveItem:
        return said.RetrieveItem(item_id=self.item_id)


class _Delete(Event):
    type: Literal["conversation.item.delete"]
    item_id: _Id

    def value(self, _: Session, /) -> said.DeleteItem:
        return said.DeleteItem(item_id=self.item_id)


class _Truncate(Event):
    type: Literal["conversation.item.truncate"]
    item_id: _Id
    content_index: int = Field(ge=0)
    audio_end_ms: int = Field(ge=0)

    def value(self, _: Session, /) -> said.TruncateItem:
        return said.TruncateItem(
            item_id=self.item_id, content_index=self.content_index, audio_end_ms=self.audio_end_ms
        )


class _ResponseOnly(_Shape):
    """What `response` has beside settings of the session."""

    conversation: Literal["auto", "none"] | None = None
    input: list[Annotated[_Message | _Reference, Field(discriminator="type")]] | None = None
    metadata: dict[str, str] | None = Field(default=None, max_length=16)


_RESPONSE_ONLY = frozenset(_ResponseOnly.model_fields)


class _CreateResponse(Event):
    type: Literal["response.create"]
    response: dict[str, Any] | None = None

    def value(self, session: Session, /) -> said.CreateResponse:
        sent = self.response or {}
        only = _response_only({k: v for k, v in sent.items() if k in _RESPONSE_ONLY})
        settings = {k: v for k, v in sent.items() if k not in _RESPONSE_ONLY}
        return said.CreateResponse(
            options=said.ResponseOptions(
                session=for_response(session, settings),
                in_conversation=only.conversation != "none",
                input=None if only.input is None else tuple(map(_to_answer, only.input)),
                metadata=only.metadata or {},
            )
        )


def _response_only(sent: dict[str, Any]) -> _ResponseOnly:
    try:
        return _ResponseOnly.model_validate(sent)
    except ValidationError as error:
        raise wrong_field(error, "response") from None


def _to_answer(part: _Message | _Reference) -> said.NewItem | str:
    if isinstance(part, _Reference):
        return part.id
    item = part.item("response.input")
    if item.audio:
        raise ProtocolError(
            "Audio in response.input is not supported here.",
            "Add it with conversation.item.create and send an item_reference.",
            "response.input",
        )
    return item


class _Cancel(Event):
    type: Literal["response.cancel"]
    response_id: _Id | None = None

    def value(self, _: Session, /) -> said.CancelResponse:
        return said.CancelResponse(response_id=self.response_id)


class _ClearOutput(Event):
    type: Literal["output_audio_buffer.clear"]

    def value(self, _: Session, /) -> said.ClearOutput:
        return said.ClearOutput()


class _Playback(Event):
    type: Literal["raydio.playback"]
    item_id: _Id
    played_ms: float = Field(ge=0, allow_inf_nan=False)
    playing: bool

    def value(self, _: Session, /) -> said.PlaybackReport:
        return said.PlaybackReport(item_id=self.item_id, played_ms=self.played_ms, playing=self.playing)


EVENTS: dict[str, type[Event]] = {
    get_args(shape.model_fields["type"].annotation)[0]: shape for shape in Event.__subclasses__()
}
"""The shape of each event that a client may send, by its type."""


def _bytes(text: str, path: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:  # binascii's own error, and what is not ASCII
        raise ProtocolError(
            f"{path} is not base64.", "Encode the bytes with the standard alphabet and padding.", path
        ) from error
