"""A spoken turn as it grows: turn events in, chat messages for the screen and sound for the player out."""

from __future__ import annotations

from serve_apps.errors import RaydioError
from serve_apps.wire import (
    Audio,
    AudioSegment,
    FinalTranscript,
    PartialTranscript,
    Span,
    TextDelta,
    TurnDone,
    TurnEvent,
    TurnFailed,
)
from ui.answer import ChatMessage, note, said
from ui.markup import defuse
from ui.stats import milliseconds
from ui.waterfall import waterfall

LISTENING = "…"
"""Stands for the user's words until they are known."""
NAMES = {
    "transcript": "understanding you",
    "queue": "waiting",
    "first token": "thinking",
    "answer": "writing",
    "first clause": "first phrase",
    "first audio": "first sound",
    "speech": "making speech",
}
"""The waterfall's bars, in words."""


class SpokenAnswer:
    """Collects one turn's events.

    Args:
        question: what the user typed; empty while it is still to be heard.
    """

    def __init__(self, question: str = "") -> None:
        self.question = question
        self.text = ""
        self.failure = ""
        """Why the turn failed; empty unless it did."""
        self._ended = False
        self._notes: list[ChatMessage] = []
        self._sound: list[Audio] = []

    def add(self, event: TurnEvent) -> None:
        """Take one event of the turn."""
        match event:
            case FinalTranscript(text=text) | PartialTranscript(text=text):
                self.question = text
            case TextDelta(text=text):
                self.text += text
            case AudioSegment(audio=audio):
                self._sound.append(audio)
            case TurnDone():
                self._notes += [note("Worth knowing", defuse(text)) for text in event.notes]
                where = waterfall(_named(event.waterfall)) or "No stage reported its time."
                self._notes.append(note(_summary(event), where, status="done"))
                self._ended = True
            case TurnFailed():
                self._fail(event.message)

    def fail(self, error: RaydioError) -> None:
        """End with an error; what came before it stays."""
        self._fail(str(error))

    def stop(self) -> None:
        """End because the user said so."""
        self._ended = True

    def _fail(self, message: str) -> None:
        self.failure = message
        self._ended = True
        self._notes.append(note("That did not work", defuse(message)))

    def messages(self) -> list[ChatMessage]:
        """The turn so far: the question, the answer, then what there is to say about them."""
        question = self.question or ("" if self._ended else LISTENING)
        thinks = self.question and not self.text and not self._ended
        return [
            *([said("user", defuse(question))] if question else []),
            *([note("Thinking", "…", status="pending")] if thinks else []),
            *([said("assistant", defuse(self.text))] if self.text else []),
            *self._notes,
        ]

    def new_sound(self) -> list[Audio]:
        """The speech that came since the last call, in playing order."""
        sound, self._sound = self._sound, []
        return sound


def _named(spans: tuple[Span, ...]) -> list[Span]:
    return [
        Span(name=NAMES.get(span.name, span.name), start_ms=span.start_ms, duration_ms=span.duration_ms)
        for span in spans
    ]


def _summary(done: TurnDone) -> str:
    first_sound_ms = next(
        (s.start_ms + s.duration_ms for s in done.waterfall if s.name == "first audio"), None
    )
    cut = "stopped at the longest answer" if done.finish_reason == "length" else ""
    began = "" if first_sound_ms is None else f"Speech ready after {milliseconds(first_sound_ms)}"
    return " · ".join(part for part in (began or "Where the time went", cut) if part)
