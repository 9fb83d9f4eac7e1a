"""Speech to text as a stage: any audio in, speech found in it, recognised window by window."""

# No `from __future__ import annotations`: Serve checks `args:` only against an annotation that is a class.

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from ray.serve import Application

from serve_apps import engines
from serve_apps.args import SttArgs
from serve_apps.contracts import SttEngine
from serve_apps.errors import AudioTooLong, AudioUnreadable, EmptyInput, StageBusy, StageFailed, UnknownName
from serve_apps.metrics import Running, StageMeter
from serve_apps.samples import resample
from serve_apps.stage_deployment import stage_deployment
from serve_apps.wire import (
    STT_RATE_HZ,
    Audio,
    Samples,
    Segment,
    StageReport,
    SttOptions,
    Transcript,
    TranscriptUpdate,
)

if TYPE_CHECKING:
    from serve_apps.engines.silero import Region

Result = TypeVar("Result")

_STUCK_S = 120.0
"""No window of speech takes this long, even on a crowded machine: the engine hangs."""
_MAX_RETRY_AFTER_S = 60.0


class SttStage:
    """One engine on one worker thread; callers take turns, a window of speech at a time.

    Implements `contracts.Stt`.
    """

    def __init__(self, args: SttArgs, engine_class: type[SttEngine] | None = None) -> None:
        self._args = args
        load: Callable[[SttArgs], SttEngine] = engine_class or engines.engine_class("stt", args.engine)
        self._engine = load(args)
        self._find_speech = import_module("serve_apps.engines.silero").speech_windows
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="stt")
        self._meter = StageMeter(self._engine.card)
        self._call_started: float | None = None

    async def describe(self) -> StageReport:
        """What it runs and has done."""
        return self._meter.report()

    async def check_health(self) -> None:
        """Serve's question: can this replica still answer?

        Raises:
            StageFailed: the engine has not come back from a call for two minutes.
        """
        started = self._call_started
        if started is not None and time.monotonic() - started > _STUCK_S:
            raise StageFailed("stt", f"The engine has not answered for {_STUCK_S:.0f} seconds.")

    async def transcribe(self, audio: Audio, options: SttOptions) -> Transcript:
        """Transcribe up to `max_audio_s`; empty when nobody speaks.

        Args:
            audio: mono, any rate.
            options: language, word times, prompt.

        Raises:
            EmptyInput: no samples.
            AudioTooLong: over `max_audio_s`.
            AudioUnreadable: not mono, or without a rate.
            UnknownName: a language that the engine does not know.
            UnsupportedOption: something that this engine cannot do.
            StageBusy: too many callers wait.
        """
        async with aclosing(self.stream_transcribe(audio, options)) as updates:
            heard = [update.transcript async for update in updates if update.final]
        return heard[0]

    async def stream_transcribe(self, audio: Audio, options: SttOptions) -> AsyncGenerator[TranscriptUpdate]:
        """The same, yielding everything heard so far after each stretch of speech.

        Yields once when nobody speaks. Closing the iterator stops the engine after the window that
        it is working on.
        """
        options = self._checked(audio, options)
        with self._admitted() as running:
            samples = await self._on_worker(_prepared, audio)
            windows = await self._on_worker(self._windows, samples)
            segments: list[Segment] = []
            for window in windows:
                segments += await self._on_worker(self._recognise, samples, window, options)
                running.first_output()
                if window is not windows[-1]:
                    yield self._update(segments, options, window.end / STT_RATE_HZ)
            running.first_output()
            yield self._update(segments, options, audio.duration_s, final=True)

    def _checked(self, audio: Audio, options: SttOptions) -> SttOptions:
        if audio.samples.ndim != 1 or audio.rate_hz <= 0:
            raise AudioUnreadable("The audio is not mono samples with a rate.", "Mix it down to one channel.")
        if not len(audio.samples):
            raise EmptyInput("The audio has no samples.", "Record again, and speak before you stop.")
        if audio.duration_s > self._args.max_audio_s:
            raise AudioTooLong(
                f"The audio is {audio.duration_s:.0f} seconds long.",
                f"One call takes at most {self._args.max_audio_s:.0f} seconds: send it in parts.",
            )
        return replace(options, language=self._language(options.language))

    def _language(self, asked: str | None) -> str | None:
        known = self._engine.languages
        if not asked:
            return known[0] if len(known) == 1 else None
        code = asked.lower().replace("_", "-").partition("-")[0]
        if code not in known:
            raise UnknownName(
                f"{self._engine.card.model} does not understand the language {asked!r}.",
                f"It knows {', '.join(known)}.",
            )
        return code

    @contextmanager
    def _admitted(self) -> Iterator[Running]:
        """Count a request in, or shed it."""
        meter = self._meter
        if meter.n_running > self._args.max_waiting:
            last_s = (meter.report().last_duration_ms or 1000) / 1000
            raise StageBusy(
                "stt",
                f"{meter.n_running} recordings wait already.",
                "Try again in a moment.",
                retry_after_s=min(_MAX_RETRY_AFTER_S, max(1.0, meter.n_running * last_s)),
            )
        try:
            with meter.request() as running:
                meter.n_waiting = meter.n_running - 1
                yield running
        finally:
            meter.n_waiting = max(0, meter.n_running - 1)

    async def _on_worker(self, work: Callable[..., Result], *given: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._watched, work, *given)

    def _watched(self, work: Callable[..., Result], *given: Any) -> Result:
        self._call_started = time.monotonic()
        try:
            return work(*given)
        finally:
            self._call_started = None

    def _windows(self, samples: Samples) -> list["Region"]:
        found: list[Region] = self._find_speech(
            samples,
            threshold=self._args.vad_threshold,
            min_silence_s=self._args.min_silence_s,
            max_window_s=self._engine.max_window_s,
        )
        return found

    def _recognise(self, samples: Samples, window: "Region", options: SttOptions) -> list[Segment]:
        heard = self._engine.transcribe(samples[window.start : window.end], options)
        return [segment.later(window.start / STT_RATE_HZ) for segment in heard]

    def _update(
        self, segments: list[Segment], options: SttOptions, done_s: float, *, final: bool = False
    ) -> TranscriptUpdate:
        language = options.language or next((s.language for s in segments if s.language), "")
        transcript = Transcript(segments=tuple(segments), language=language, duration_s=done_s)
        return TranscriptUpdate(transcript=transcript, done_s=done_s, final=final)


def _prepared(audio: Audio) -> Samples:
    """16 kHz and finite: a damaged file may hold anything."""
    finite = np.nan_to_num(audio.samples, nan=0.0, posinf=1.0, neginf=-1.0)
    clipped = np.clip(finite, -1.0, 1.0).astype(np.float32, copy=False)
    return resample(clipped, audio.rate_hz, STT_RATE_HZ)


def app(args: SttArgs) -> Application:
    """The stage as a Serve application."""
    return stage_deployment("stt", SttStage, n_calls=args.max_waiting).bind(args)
