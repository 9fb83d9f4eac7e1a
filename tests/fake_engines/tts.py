"""A deterministic speech synthesiser: every character is a short sine, pitched by the character."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from serve_apps.args import TtsArgs
from serve_apps.errors import UnknownName
from serve_apps.wire import Audio, ModelCard, Samples, SpeakRequest, Voice, Word


class ToneTts:
    """20 ms of a sine a character, at 16 kHz; question marks are mute. Marks its words, counts what it did.

    `engine_options`: `can_clone`, and `fail_at`, the character at which it raises RuntimeError.
    """

    rate_hz = 16_000

    def __init__(self, args: TtsArgs) -> None:
        options: dict[str, Any] = args.engine_options
        self.can_clone = bool(options.get("can_clone", False))
        self.fail_at: str = options.get("fail_at", "")
        self.requests: list[SpeakRequest] = []
        self.n_pieces = 0
        self.n_finished = 0
        self.n_closed = 0
        self.card = ModelCard(
            stage="tts", engine="tone", model="Tone", size_bytes=0, licence="none", source="the tests"
        )

    def voices(self) -> list[Voice]:
        """Two voices."""
        return [
            Voice(id="low", name="Low tone", language="en-us"),
            Voice(id="high", name="High tone", language="de"),
        ]

    def speak(self, request: SpeakRequest) -> Iterator[Audio]:
        """One piece a character; a word is a mark on its first."""
        if request.voice not in ("", "low", "high"):
            raise UnknownName(f"There is no voice {request.voice!r}.", "Did you mean low?")
        self.requests.append(request)
        return self._stream(request)

    def close(self) -> None:
        """Nothing to free."""

    def _stream(self, request: SpeakRequest) -> Iterator[Audio]:
        octave = 2 if request.voice == "high" else 1
        try:
            text = request.text.replace("?", "")
            words = {match.start(): match.group() for match in re.finditer(r"\S+", text)}
            for i, character in enumerate(text):
                if self.fail_at and character == self.fail_at:
                    raise RuntimeError("the tone broke")
                self.n_pieces += 1
                samples = tone(character, octave, request.speed, self.rate_hz)
                yield Audio(samples=samples, rate_hz=self.rate_hz, words=mark(words.get(i), request.speed))
            self.n_finished += 1
        except GeneratorExit:
            self.n_closed += 1
            raise


def mark(word: str | None, speed: float) -> tuple[Word, ...]:
    """A word that begins where its piece does; none for None."""
    return () if word is None else (Word(text=word, start_s=0.0, end_s=len(word) * 0.02 / speed),)


def tone(character: str, octave: int, speed: float, rate_hz: int) -> Samples:
    """20 ms at speed 1."""
    seconds = np.arange(round(0.02 * rate_hz / speed)) / rate_hz
    hz = octave * (200 + ord(character) % 64 * 20)
    return (0.5 * np.sin(2 * np.pi * hz * seconds)).astype(np.float32)
