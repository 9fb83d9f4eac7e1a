"""Text to speech as a stage: the first sound at once, then growing chunks at the caller's pace."""

# No `from __future__ import annotations` here: Ray Serve looks at the class in `app`'s annotation
# to validate `args:`, and ignores one that is a string.

import asyncio
import itertools
import math
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from threading import Lock
from typing import TypeVar

import numpy as np
from ray.serve import Application

from serve_apps import engines
from serve_apps.admission import FairQueue
from serve_apps.args import TtsArgs
from serve_apps.contracts import TtsEngine
from serve_apps.errors import EmptyInput, InputError, RaydioError, StageFailed, TextTooLong, UnsupportedOption
from serve_apps.metrics import StageMeter
from serve_apps.stage_deployment import stage_deployment
from serve_apps.wire import Audio, SpeakRequest, StageReport, Voice

Result = TypeVar("Result")

SPEED_RANGE = (0.5, 3.0)
PITCH_RANGE = (0.5, 2.0)
CHUNKS_S = (0.06, 0.2, 0.3, 0.5)
"""Longest first, second, … chunk; the last for all that follow. Longer ones cost less each and
arrive later."""
PATIENCE_S = 0.05
"""A slow engine's chunk leaves after this long, however short it is."""
SILENCE_S = 0.2
"""What is heard of text that an engine finds nothing to say in, such as marks alone."""
N_SPEAKERS = 8
"""Requests that speak at once; the others wait. An engine's own lock decides whose clause is next."""
MAX_WAIT_S = 60.0


class TtsStage:
    """One engine; its iterators advance on worker threads, one chunk ahead of their callers.

    Implements `contracts.Tts`.

    Args:
        args: what runs, and its limits.
        engine_class: instead of the one that `args.engine` names.
    """

    def __init__(self, args: TtsArgs, engine_class: type[TtsEngine] | None = None) -> None:
        load: Callable[[TtsArgs], TtsEngine] = engine_class or engines.engine_class("tts", args.engine)
        self._engine = load(args)
        self._voices = self._engine.voices()
        self._max_characters = args.max_characters
        self._queue = FairQueue(
            "tts", n_slots=N_SPEAKERS, max_waiting=args.max_waiting, max_wait_s=MAX_WAIT_S
        )
        self._workers = ThreadPoolExecutor(N_SPEAKERS, thread_name_prefix="tts")
        self._meter = StageMeter(self._engine.card)

    async def voices(self) -> list[Voice]:
        """Every voice, the default first."""
        return self._voices

    async def describe(self) -> StageReport:
        """What it runs and has done."""
        self._meter.n_waiting = self._queue.n_waiting
        return self._meter.report()

    async def check_health(self) -> None:
        """Serve's question; being able to answer it is the answer: the engine runs on other threads."""

    async def stream_speak(self, request: SpeakRequest) -> AsyncGenerator[Audio]:
        """Yield chunks in playing order: at most 60 ms at once, then 200 to 500 ms each.

        A word belongs to the chunk in which it begins; its times count from that chunk's first sample.
        The engine works at most one chunk ahead of the caller. Closing the iterator stops it.

        Raises:
            EmptyInput, TextTooLong, InputError, UnknownName, UnsupportedOption: the request.
            StageBusy: too many callers wait.
            StageFailed: the engine.
        """
        self._check(request)
        with self._meter.request() as running:
            async with self._queue.slot(""), self._speaking(request) as speech:
                coming = self._on_worker(speech.next_chunk)
                while (audio := await coming) is not None:
                    coming = self._on_worker(speech.next_chunk)
                    running.first_output()
                    yield audio
                if running.first_output_ms is None:
                    running.first_output()
                    yield _silence(round(SILENCE_S * self._engine.rate_hz), self._engine.rate_hz)

    @asynccontextmanager
    async def _speaking(self, request: SpeakRequest) -> "AsyncGenerator[_Speech]":
        speech = _Speech(self._engine, request)
        try:
            yield speech
        finally:
            speech.stop()
            # Not awaited: a caller that leaves need not wait for the engine's last step.
            self._workers.submit(speech.close)

    def _on_worker(self, call: Callable[[], Result]) -> asyncio.Future[Result]:
        future = asyncio.get_running_loop().run_in_executor(self._workers, call)
        # A chunk nobody waits for any more may fail unseen.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        return future

    def _check(self, request: SpeakRequest) -> None:
        if len(request.text) > self._max_characters:
            raise TextTooLong(
                f"The text has {len(request.text):,} characters; the limit is {self._max_characters:,}.",
                "Split it and send the parts one after the other.",
            )
        if not any(character.isprintable() and not character.isspace() for character in request.text):
            raise EmptyInput("There is no text to speak.", "Write a word or a sentence.")
        _check_range("speed", request.speed, SPEED_RANGE)
        _check_range("pitch", request.pitch, PITCH_RANGE)
        if request.reference is not None and not self._engine.can_clone:
            raise UnsupportedOption(
                f"{self._engine.card.model} cannot imitate a voice from a recording.",
                "Choose one of its voices, or run an engine that can, such as coqui with an XTTS model.",
            )


class _Speech:
    """One request under way: the engine's pieces joined or cut into chunks. Lives on worker threads."""

    def __init__(self, engine: TtsEngine, request: SpeakRequest) -> None:
        self._engine = engine
        self._request = request
        self._pieces: Iterator[Audio] | None = None
        self._lock = Lock()  # two threads must not advance or close one generator at once
        self._stopped = False
        self._left = _silence(0, engine.rate_hz)
        self._n_chunks = 0

    def next_chunk(self) -> Audio | None:
        """The next sound, None after the last.

        Raises:
            StageFailed: the engine raised something of its own.
        """
        with self._lock:
            try:
                return self._gather(CHUNKS_S[min(self._n_chunks, len(CHUNKS_S) - 1)])
            except RaydioError:
                raise
            # The engine's library may raise anything; the caller sees one kind of failure.
            except Exception as error:
                raise StageFailed(
                    "tts", f"The engine failed: {error}", "Try another text or voice."
                ) from error

    def stop(self) -> None:
        """Make a running `next_chunk` return soon. Does not block."""
        self._stopped = True

    def close(self) -> None:
        """Stop the engine."""
        with self._lock:
            self._stopped = True
            close = getattr(self._pieces, "close", None)
            if close is not None:
                close()

    def _gather(self, longest_s: float) -> Audio | None:
        if self._pieces is None:
            self._pieces = iter(self._engine.speak(self._request))
        n_wanted = math.ceil(longest_s * self._engine.rate_hz)
        parts, n_samples = [self._left], len(self._left.samples)
        started = time.perf_counter()
        # The first piece leaves as the engine gives it, later ones are joined.
        while n_samples < (n_wanted if self._n_chunks else 1) and not self._stopped:
            if n_samples and time.perf_counter() - started > PATIENCE_S:
                break
            piece = next(self._pieces, None)
            if piece is None:
                break
            parts.append(piece)
            n_samples += len(piece.samples)
        chunk, self._left = _cut(_joined(parts), n_wanted)
        self._n_chunks += 1
        return chunk if len(chunk.samples) and not self._stopped else None


def _silence(n_samples: int, rate_hz: int) -> Audio:
    return Audio(samples=np.zeros(n_samples, np.float32), rate_hz=rate_hz)


def _joined(parts: Sequence[Audio]) -> Audio:
    """Pieces of one rate as one, their words' times counted from its first sample."""
    samples = np.concatenate([part.samples for part in parts])
    starts_s = itertools.accumulate((part.duration_s for part in parts), initial=0.0)
    words = [word.later(by_s) for part, by_s in zip(parts, starts_s, strict=False) for word in part.words]
    return Audio(samples=samples, rate_hz=parts[0].rate_hz, words=tuple(words))


def _cut(audio: Audio, n_samples: int) -> tuple[Audio, Audio]:
    """The first `n_samples` and the rest, each with the words that begin in it."""
    if len(audio.samples) <= n_samples:
        return audio, _silence(0, audio.rate_hz)
    cut_s = n_samples / audio.rate_hz
    before = tuple(word for word in audio.words if word.start_s < cut_s)
    after = tuple(word.later(-cut_s) for word in audio.words if word.start_s >= cut_s)
    return (
        replace(audio, samples=audio.samples[:n_samples], words=before),
        replace(audio, samples=audio.samples[n_samples:], words=after),
    )


def _check_range(name: str, value: float, allowed: tuple[float, float]) -> None:
    low, high = allowed
    if not low <= value <= high:  # false for NaN, too
        raise InputError(f"The {name} {value:g} is out of range.", f"Use {low:g} to {high:g}; 1 is normal.")


def app(args: TtsArgs) -> Application:
    """The stage as a Serve application."""
    return stage_deployment("tts", TtsStage, n_calls=N_SPEAKERS + args.max_waiting).bind(args)
