"""A speech recogniser that says how long it listened: deterministic, no weights."""

from __future__ import annotations

import threading

from serve_apps.args import SttArgs
from serve_apps.errors import StageFailed
from serve_apps.wire import STT_RATE_HZ, ModelCard, Samples, Segment, SttOptions, Word


class EchoStt:
    """Hears `heard 1.5 seconds` in a second and a half of anything.

    `engine_options`: `languages` (default en), `max_window_s` (default 10), `fail` (always fails).
    With `vad_threshold: 0` the stage lets it hear every sample.
    """

    def __init__(self, args: SttArgs) -> None:
        self.languages: tuple[str, ...] = tuple(args.engine_options.get("languages", ("en",)))
        self.max_window_s = float(args.engine_options.get("max_window_s", 10.0))
        self._fails = bool(args.engine_options.get("fail", False))
        self.n_calls = 0
        self.closed = False
        self.card = ModelCard(
            stage="stt",
            engine="echo",
            model="Echo",
            size_bytes=0,
            licence="Apache-2.0",
            source="tests/fake_engines/stt.py",
            details={"languages": ", ".join(self.languages)},
        )

    def transcribe(self, samples: Samples, options: SttOptions) -> list[Segment]:
        """One segment over the whole stretch."""
        self.n_calls += 1
        if self._fails:
            raise StageFailed("stt", "The echo engine fails on request.")
        duration_s = len(samples) / STT_RATE_HZ
        text = " ".join(filter(None, [f"heard {duration_s:.1f} seconds", options.prompt]))
        words = _spread(text, duration_s) if options.words else ()
        return [
            Segment(text=text, start_s=0.0, end_s=duration_s, words=words, language=options.language or "en")
        ]

    def close(self) -> None:
        """Remember it."""
        self.closed = True


class GatedStt(EchoStt):
    """Waits inside each call until the test opens the gate; `last` is the newest one made."""

    last: GatedStt

    def __init__(self, args: SttArgs) -> None:
        super().__init__(args)
        self.entered = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        GatedStt.last = self

    def transcribe(self, samples: Samples, options: SttOptions) -> list[Segment]:
        """Say so, wait, then hear."""
        self.entered.release()
        if not self.gate.acquire(timeout=30):
            raise StageFailed("stt", "Nobody opened the gate.")
        return super().transcribe(samples, options)


def _spread(text: str, duration_s: float) -> tuple[Word, ...]:
    texts = text.split()
    step_s = duration_s / len(texts)
    return tuple(Word(text=t, start_s=i * step_s, end_s=(i + 1) * step_s) for i, t in enumerate(texts))
