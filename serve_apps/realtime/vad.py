"""Hears when somebody begins to speak, pauses and goes on, in sound that arrives in pieces.

Every frame (32 ms) is judged alone, in order, so the events do not depend on how the sound was cut.
Times are seconds of the stream: 0 is its first sample, at 16 kHz.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from importlib import import_module

import numpy as np

from serve_apps.wire import STT_RATE_HZ, Samples

FRAME = 512
"""Samples of one decision."""
FRAME_S = FRAME / STT_RATE_HZ
PAUSE_S = 0.128
"""Quiet before `SpeechPaused`. Speakers close their mouths for up to 0.1 s inside words and phrases:
shorter would begin to answer in the middle of them, longer would give the head start away."""
_PAUSE_FRAMES = round(PAUSE_S / FRAME_S)
_LATE_S = FRAME_S
"""The model's probability falls after the voice does: in the median of 148 endings (espeak, two readers, two
levels) the last voiced frame ended 32 to 42 ms after the last sample louder than -40 dB."""
_HYSTERESIS = 0.15
"""A burst that has begun goes on until the probability falls this far below the threshold."""
_CERTAINTY = 0.25
"""A burst must once rise this far above the threshold: voices do in their second frame, a smack of lips
or a breath never."""
_RESUME_FRAMES = 2
"""Voiced frames that end a pause: one alone is a lip smack or a click."""

_GATE_MARGIN_DB = 4.0
"""Frames that rise no further above the room's noise need no model: speech that anybody could write
down rises by 10."""
_GATE_LOWEST_DB, _GATE_HIGHEST_DB = -75.0, -30.0
"""The gate follows the room's noise between these: below, nothing is a voice; above, the model decides."""
_FIRST_FLOOR_DB = -58.0
"""What a room sounds like until we know better: the hiss of a good microphone."""
_FLOOR_FOLLOWS = 0.1
"""Share of each new frame in the room's level: half of a change is known after 0.2 s."""
_NO_VOICE = 0.15
"""Frames with less are the room's noise."""
_SETTLED_FRAMES = 16
"""The gate closes after half a second of quiet: until then the speaker will probably go on."""
_WARM_FRAMES = 8
"""Skipped frames that the model hears before the first loud one, so that it recognises an onset."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Somebody speaks, since `at_s`: the start of the first voiced frame."""

    at_s: float


@dataclass(frozen=True, slots=True)
class SpeechPaused:
    """It has been quiet for `PAUSE_S`, since `at_s`: the end of the last voiced frame."""

    at_s: float


@dataclass(frozen=True, slots=True)
class SpeechResumed:
    """The speaker goes on, since `at_s`, before anybody called `end_turn`."""

    at_s: float


VadEvent = SpeechStarted | SpeechPaused | SpeechResumed


class VadStream:
    """The voice detector on one stream: hysteresis, minimum speech, short gaps bridged."""

    def __init__(self, threshold: float = 0.5, min_speech_s: float = 0.1) -> None:
        """Begin a stream.

        Args:
            threshold: probability, in [0, 1], above which a frame is a voice; 0 takes everything for one.
            min_speech_s: voiced time before `SpeechStarted`; less is a click or a cough.
        """
        self._enter = threshold
        self._sure = min(threshold + _CERTAINTY, (1 + threshold) / 2) if threshold > 0 else 0.0
        self._leave = min(threshold, max(threshold - _HYSTERESIS, 0.01))
        self._start_frames = max(1, round(min_speech_s / FRAME_S))
        self._model = _GatedModel()
        self._rest = np.zeros(0, np.float32)
        self._n_samples = 0
        self._n_frames = 0
        self._last_voiced_end = 0
        self._gate_from = 0
        self._peak = 0.0
        self.speaking = False
        self.end_turn()

    def end_turn(self) -> None:
        """What was said is dealt with: the next speech is `SpeechStarted` again."""
        self.speaking = False
        self._in_turn = False
        self._n_voiced = 0
        self._drop_burst()

    @property
    def heard_s(self) -> float:
        """Length of the stream so far."""
        return self._n_samples / STT_RATE_HZ

    @property
    def quiet_s(self) -> float:
        """Since the last voiced frame, or since the stream's start; nearly 0 while somebody speaks."""
        return (self._n_frames - self._last_voiced_end) * FRAME_S

    @property
    def silent_s(self) -> float:
        """Since the voice fell silent, until the newest sample; 0 while somebody speaks.

        Unlike `quiet_s` it counts what is not a whole frame yet, and that the model notices late.
        """
        last_s = self._last_voiced_end * FRAME_S - _LATE_S
        return self.heard_s - last_s if self.quiet_s else 0.0

    @property
    def speech_s(self) -> float:
        """Voiced time of the current turn, pauses left out; 0 until it has started."""
        return self._n_voiced * FRAME_S

    @property
    def n_judged(self) -> int:
        """Frames that the model has heard: the cost so far. The others were too quiet to matter."""
        return self._model.n_judged

    def feed(self, samples: Samples) -> list[VadEvent]:
        """Hear the stream's next samples (16 kHz, any number); return what was noticed, in order."""
        self._n_samples += len(samples)
        samples = np.concatenate([self._rest, samples])
        n_whole = len(samples) // FRAME * FRAME
        self._rest = samples[n_whole:].copy()
        events = (self._hear(frame) for frame in samples[:n_whole].reshape(-1, FRAME))
        return [event for event in events if event is not None]

    def _hear(self, frame: Samples) -> VadEvent | None:
        probability = self._model(frame, gated=self._n_frames >= self._gate_from)
        self._n_frames += 1
        if probability >= (self._leave if self._n_burst else self._enter):
            return self._voiced(probability)
        return self._unvoiced()

    def _voiced(self, probability: float) -> VadEvent | None:
        if not self._n_burst:
            self._burst_start = self._n_frames - 1
        self._peak = max(self._peak, probability)
        self._n_burst += 1
        self._burst_end = self._n_frames
        self._gate_from = self._n_frames + _SETTLED_FRAMES
        if self.speaking:
            self._n_voiced += 1
            self._last_voiced_end = self._n_frames
        elif self._peak >= self._sure and self._n_burst >= self._needed():
            return self._begin()
        return None

    def _needed(self) -> int:
        return _RESUME_FRAMES if self._in_turn else self._start_frames

    def _begin(self) -> VadEvent:
        kind = SpeechResumed if self._in_turn else SpeechStarted
        self.speaking = self._in_turn = True
        self._n_voiced += self._n_burst
        self._last_voiced_end = self._n_frames
        return kind(self._burst_start * FRAME_S)

    def _unvoiced(self) -> VadEvent | None:
        if not self._n_burst or self._n_frames - self._burst_end < _PAUSE_FRAMES:
            return None
        self._drop_burst()
        if not self.speaking:
            return None
        self.speaking = False
        return SpeechPaused(self._last_voiced_end * FRAME_S)

    def _drop_burst(self) -> None:
        self._n_burst = 0
        self._peak = 0.0
        self._burst_start = self._burst_end = self._n_frames


class _GatedModel:
    """Silero, asked only about frames that stand out of the room's noise: idling costs next to nothing."""

    def __init__(self) -> None:
        # Deploying imports this module, and must not import onnxruntime.
        self._silero = import_module("serve_apps.engines.silero").Silero()
        self._skipped: deque[Samples] = deque(maxlen=_WARM_FRAMES)
        self._floor_db = _FIRST_FLOOR_DB
        self.n_judged = 0

    def __call__(self, frame: Samples, *, gated: bool) -> float:
        """How likely the stream's next frame is a voice; 0 for one that `gated` lets us skip."""
        level_db = _level_db(frame)
        if gated and level_db < self._gate_db():
            self._skipped.append(frame.copy())
            self._follow(level_db)
            return 0.0
        probability = self._judge(frame)
        if probability < _NO_VOICE:
            self._follow(level_db)
        return probability

    def _judge(self, frame: Samples) -> float:
        frames = np.concatenate([*self._skipped, frame])
        self._skipped.clear()
        self.n_judged += len(frames) // FRAME
        return float(self._silero.probabilities(frames)[-1])

    def _gate_db(self) -> float:
        return min(max(self._floor_db + _GATE_MARGIN_DB, _GATE_LOWEST_DB), _GATE_HIGHEST_DB)

    def _follow(self, level_db: float) -> None:
        self._floor_db += _FLOOR_FOLLOWS * (level_db - self._floor_db)


def _level_db(frame: Samples) -> float:
    """Mean power of a frame in dB; a full-scale square wave has 0."""
    return 10.0 * float(np.log10(np.dot(frame, frame) / len(frame) + 1e-12))
