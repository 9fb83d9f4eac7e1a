"""A deterministic speech synthesiser: every character is a short sine, pitched by the character."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from serve_apps.args import TtsArgs
from serve_apps.errors import UnknownName
from serve_apps.wire import ModelCard, Samples, SpeakRequest, Voice


class ToneTts:
    """20 ms of a sine a character, at 16 kHz; question marks are mute. Says what it did.

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

    def speak(self, request: SpeakRequest) -> Iterator[Samples]:
        """One array a character."""
        if request.voice not in ("", "low", "high"):
            raise UnknownName(f"There is no voice {request.voice!r}.", "Did you mean low?")
        self.requests.append(request)
        return self._stream(request)

    def close(self) -> None:
        """Nothing to free."""

    def _stream(self, request: SpeakRequest) -> Iterator[Samples]:
        octave = 2 if request.voice == "high" else 1
        try:
            for character in request.text.replace("?", ""):
                if self.fail_at and character == self.fail_at:
                    raise RuntimeError("the tone broke")
                self.n_pieces += 1
                yield tone(character, octave, request.speed, self.rate_hz)
            self.n_finished += 1
        except GeneratorExit:
            self.n_closed += 1
            raise


def tone(character: str, octave: int, speed: float, rate_hz: int) -> Samples:
    """20 ms at speed 1."""
    seconds = np.arange(round(0.02 * rate_hz / speed)) / rate_hz
    hz = octave * (200 + ord(character) % 64 * 20)
    return (0.5 * np.sin(2 * np.pi * hz * seconds)).astype(np.float32)
