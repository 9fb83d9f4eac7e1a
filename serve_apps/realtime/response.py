"""One response: an answer's events, told in the protocol's order, until it ends or is cut off."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from serve_apps.realtime import server_events as tell
from serve_apps.realtime.answer import Answer
from serve_apps.realtime.client_events import ResponseOptions
from serve_apps.realtime.conversation import Item, new_id
from serve_apps.realtime.formats import Encoder
from serve_apps.realtime.playback import SpokenClause
from serve_apps.turns import span
from serve_apps.wire import AudioSegment, LlmUsage, SourcesFound, Span, TextDelta, TurnDone, TurnFailed

Status = Literal["in_progress", "completed", "cancelled", "incomplete", "failed"]


class Outlet(Protocol):
    """Where events go: `outbox.Outbox`."""

    def emit(self, event: dict[str, Any]) -> None:
        """Tell the client."""
        ...

    async def room(self) -> None:
        """Wait until the client has taken most of what it was told."""
        ...


@dataclass(slots=True)
class Moments:
    """When things happened before the response, on the event loop's clock."""

    speech_ended_at: float
    """The last sample of the user's speech, or the request where nobody spoke."""
    turn_ended_at: float
    """The silence was long enough, or the client said so."""
    transcript: Span | None = None
    """Relative to `speech_ended_at`."""
    user_item_id: str | None = None


@dataclass(slots=True)
class Response:
    """A response and the assistant's item that it writes.

    Args:
        outbox: where its events go.
        options: what was asked for.
        item: the assistant's message; in the conversation, or not for an answer outside of it.
        previous_item_id: the item before it.
        moments: for the waterfall.
        on_end: called once, when the last event was told.
    """

    outbox: Outlet
    options: ResponseOptions
    item: Item
    previous_item_id: str | None
    conversation_id: str | None
    moments: Moments
    on_end: Callable[[Response], None]
    id: str = field(default_factory=lambda: new_id("resp"))
    status: Status = "in_progress"
    _answer: Answer | None = None
    _usage: LlmUsage | None = None
    _details: dict[str, Any] | None = None
    _text: str = ""
    _first_audio_at: float | None = None
    _encoder: Encoder | None = None

    @property
    def spoken(self) -> bool:
        """Whether it answers in sound."""
        return self.item.kind == "audio"

    def begin(self, limits: dict[str, Any]) -> None:
        """Say that there will be an answer."""
        self.outbox.emit({"type": "response.created", "response": self._object()})
        self.outbox.emit(limits)
        added = {"response_id": self.id, "output_index": 0, "item": tell.item_object(self.item)}
        self.outbox.emit({"type": "response.output_item.added", **added})
        if self.options.in_conversation:
            self.outbox.emit(tell.item_added(self.item, self.previous_item_id))
        part = tell.content_part(self._part(), self.item.kind, "")
        self.outbox.emit({"type": "response.content_part.added", **part})

    async def run(self, answer: Answer) -> None:
        """Tell the answer as it comes. Cancelling this task leaves the rest to `end`."""
        self._answer = answer
        if self.spoken:
            self._encoder = Encoder(self.options.session.audio.output.format)
        async for at, event in answer.events():
            await self.outbox.room()
            if self.status != "in_progress":
                return
            self._tell(at, event)

    def cancel(self, reason: Literal["turn_detected", "client_cancelled"]) -> None:
        """Tell its end, and nothing more of it. `drop` stops the models."""
        self._end("cancelled", {"type": "cancelled", "reason": reason})

    async def drop(self) -> None:
        """Stop the models."""
        if self._answer is not None:
            await self._answer.drop()

    def fail(self, code: str, message: str) -> None:
        """End it with an error; what was said stays said."""
        failure = {"type": "server_error", "code": code, "message": message}
        self._end("failed", {"type": "failed", "error": failure})

    # ---- events on their way ---------------------------------------------------------------------

    def _tell(self, at: float, event: object) -> None:
        match event:
            case TextDelta(text=text):
                self._write(text)
            case AudioSegment():
                self._sound(at, event)
            case SourcesFound(sources=found):
                self.outbox.emit(tell.sources(self._about(), found))
            case TurnDone():
                self._done(event)
            case TurnFailed():
                self.fail(event.code, event.message)

    def _write(self, text: str) -> None:
        self._text += text
        self.item.text = self._text
        name = "response.output_audio_transcript.delta" if self.spoken else "response.output_text.delta"
        self.outbox.emit({"type": name, **self._part(), "delta": text})

    def _sound(self, at: float, segment: AudioSegment) -> None:
        playback, encode = self.item.playback, self._encoder
        if playback is None or encode is None:
            return
        before = playback.clauses[-1] if playback.clauses else None
        clause = playback.add(segment)
        if before is not None and before is not clause:
            self._caption(before)
        if sound := encode(segment.audio):
            self._send_sound(sound)
        if before is not clause:
            self._caption(clause)
        if self._first_audio_at is None:
            self._first_audio_at = max(at, asyncio.get_running_loop().time())

    def _send_sound(self, sound: bytes) -> None:
        delta = base64.b64encode(sound).decode()
        self.outbox.emit({"type": "response.output_audio.delta", **self._part(), "delta": delta})

    def _caption(self, clause: SpokenClause) -> None:
        self.outbox.emit(
            tell.captions(
                self._about(),
                clause.index,
                clause.shown,
                clause.start_s,
                clause.words(),
                final=clause.complete,
            )
        )

    def _done(self, done: TurnDone) -> None:
        self._usage = done.usage
        if self._encoder is not None and (rest := self._encoder.flush()):
            self._send_sound(rest)
        if self.item.playback is not None and self.item.playback.clauses:
            self.item.playback.finish()
            self._caption(self.item.playback.clauses[-1])
        cut = {"type": "incomplete", "reason": "max_output_tokens"}
        if done.finish_reason == "length":
            self._end("incomplete", cut, done)
        else:
            self._end("completed", {"type": "completed"}, done)

    # ---- the end ---------------------------------------------------------------------------------

    def _end(self, status: Status, details: dict[str, Any], done: TurnDone | None = None) -> None:
        if self.status != "in_progress":
            return
        self.status, self._details = status, details
        self.item.text = self._text
        self.item.status = "completed" if status == "completed" else "incomplete"
        if self.item.playback is not None:
            self.item.playback.finish()
        self._close_item()
        self.outbox.emit({"type": "response.done", "response": self._object()})
        self._tell_times(done)
        self.on_end(self)

    def _close_item(self) -> None:
        part = self._part()
        if self.spoken:
            self.outbox.emit({"type": "response.output_audio.done", **part})
            done = {**part, "transcript": self._text}
            self.outbox.emit({"type": "response.output_audio_transcript.done", **done})
        else:
            self.outbox.emit({"type": "response.output_text.done", **part, "text": self._text})
        whole = tell.content_part(part, self.item.kind, self._text)
        self.outbox.emit({"type": "response.content_part.done", **whole})
        shown = {"response_id": self.id, "output_index": 0, "item": tell.item_object(self.item)}
        self.outbox.emit({"type": "response.output_item.done", **shown})
        if self.options.in_conversation:
            self.outbox.emit(tell.item_done(self.item, self.previous_item_id))

    def _tell_times(self, done: TurnDone | None) -> None:
        moments, first_at = self.moments, self._first_audio_at
        ended = moments.speech_ended_at
        lag_ms = None if first_at is None else 1000 * (first_at - ended)
        self.outbox.emit(
            tell.turn(
                self._about(),
                silence_ms=1000 * (moments.turn_ended_at - ended),
                voice_to_voice_ms=lag_ms,
                spans=self._spans(done),
                user_item_id=moments.user_item_id,
                tokens_per_s=round(done.tokens_per_s, 1) if done else None,
                notes=list(done.notes) if done else [],
            )
        )

    def _spans(self, done: TurnDone | None) -> list[Span]:
        """The wait for the end of the turn, then what was done, part of it during that wait."""
        moments = self.moments
        spans = [span("silence", 0.0, 1000 * (moments.turn_ended_at - moments.speech_ended_at))]
        spans += [moments.transcript] if moments.transcript else []
        if done is not None and self._answer is not None:
            shift_ms = 1000 * (self._answer.asked_at - moments.speech_ended_at)
            spans += [replace(s, start_ms=s.start_ms + shift_ms) for s in done.waterfall]
        return spans

    # ---- what its events say about it ------------------------------------------------------------

    def _about(self) -> dict[str, Any]:
        return {"response_id": self.id, "item_id": self.item.id}

    def _part(self) -> dict[str, Any]:
        return {**self._about(), "output_index": 0, "content_index": 0}

    def _object(self) -> dict[str, Any]:
        session = self.options.session
        audio = {"format": session.audio.output.format.model_dump(), "voice": session.audio.output.voice}
        ended = self.status != "in_progress"
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": self.status,
            "status_details": self._details,
            "output": [tell.item_object(self.item)] if ended else [],
            "conversation_id": self.conversation_id,
            "output_modalities": ["audio"] if self.spoken else ["text"],
            "max_output_tokens": session.max_output_tokens,
            "audio": {"output": audio},
            "usage": tell.usage_object(self._usage) if self._usage else None,
            "metadata": self.options.metadata or None,
        }
