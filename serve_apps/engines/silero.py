"""Voice activity: where somebody speaks, by the Silero model that faster-whisper ships."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from serve_apps.errors import WeightsError
from serve_apps.media import quietest_point
from serve_apps.wire import STT_RATE_HZ, Samples

FRAME = 512
"""Samples of one decision: 32 ms at 16 kHz."""
FRAME_S = FRAME / STT_RATE_HZ
_CONTEXT = 64
"""Samples of the frame before that the model sees again."""
_STATE_SHAPE = (1, 1, 128)
_BATCH_FRAMES = 4096
"""Frames in one run (two minutes): bounds the memory of the model's inner values."""
_HYSTERESIS = 0.15
"""Speech that has begun goes on until the probability falls this far below the threshold."""
_PAD_S = 0.2
"""Kept around a region: soft consonants at its ends are not yet, or no longer, loud enough."""
_MIN_SPEECH_S = 0.1
"""Shorter bursts are clicks and coughs."""
_MAX_PAUSE_S = 2.0
"""Regions further apart never share a window: recognisers invent words in long silences."""
_SILENT = 1e-3
"""No voice has its loudest sample below this (-60 dB): long silences need no model."""
_CUT_SEARCH_S = 8.0
"""A region over the engine's window is cut at the quietest point of the window's last part."""


@dataclass(frozen=True, slots=True)
class Region:
    """One stretch of speech, as sample indices at 16 kHz: `samples[start:end]`."""

    start: int
    end: int


class Silero:
    """The detector on one stream of sound; its state carries over from call to call."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the stream: the next samples are the first."""
        self._h = np.zeros(_STATE_SHAPE, np.float32)
        self._c = np.zeros(_STATE_SHAPE, np.float32)
        self._context = np.zeros(_CONTEXT, np.float32)

    def probabilities(self, samples: Samples) -> NDArray[np.float32]:
        """How likely it is that somebody speaks, for each frame.

        Args:
            samples: 16 kHz, shape (n_frames * 512,); the stream's next samples.

        Returns:
            Shape (n_frames,), in [0, 1].
        """
        frames = samples.reshape(-1, FRAME)
        found = [self._run(frames[i : i + _BATCH_FRAMES]) for i in range(0, len(frames), _BATCH_FRAMES)]
        return np.concatenate(found) if found else np.zeros(0, np.float32)

    def _run(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        before = np.concatenate([self._context[None], frames[:-1, -_CONTEXT:]])
        self._context = frames[-1, -_CONTEXT:].copy()
        seen = np.concatenate([before, frames], axis=1)
        out, self._h, self._c = _session().run(None, {"input": seen, "h": self._h, "c": self._c})
        probabilities: NDArray[np.float32] = out.reshape(-1)
        return probabilities


def speech_regions(
    samples: Samples, *, threshold: float, min_silence_s: float, max_window_s: float
) -> list[Region]:
    """Find the stretches of speech of one recording.

    Args:
        samples: 16 kHz, shape (n_samples,).
        threshold: probability above which a frame counts as speech.
        min_silence_s: a pause at least this long ends a region.
        max_window_s: longer regions are cut at their quietest point.

    Returns:
        In order, not overlapping; empty when nobody speaks.
    """
    if threshold > 0 and np.abs(samples).max(initial=0.0) < _SILENT:
        return []
    padded = np.pad(samples, (0, -len(samples) % FRAME))
    spoken = _spoken_frames(Silero().probabilities(padded), threshold, min_silence_s)
    regions = _padded(spoken, len(samples))
    return [part for region in regions for part in _cut(region, samples, max_window_s)]


def speech_windows(
    samples: Samples, *, threshold: float, min_silence_s: float, max_window_s: float
) -> list[Region]:
    """The regions of `speech_regions`, neighbours joined as long as they fit in the engine's window.

    A recogniser hears better with more context: Moonshine tiny misreads 6 % of the words of a
    reading in sentences, and 1 % of the same reading in half minutes.
    """
    joined: list[Region] = []
    regions = speech_regions(
        samples, threshold=threshold, min_silence_s=min_silence_s, max_window_s=max_window_s
    )
    for region in regions:
        last = joined[-1] if joined else None
        fits = last is not None and region.end - last.start <= max_window_s * STT_RATE_HZ
        if last is not None and fits and region.start - last.end <= _MAX_PAUSE_S * STT_RATE_HZ:
            joined[-1] = Region(last.start, region.end)
        else:
            joined.append(region)
    return joined


def _spoken_frames(
    probabilities: NDArray[np.float32], threshold: float, min_silence_s: float
) -> list[tuple[int, int]]:
    """Frame ranges with speech: entered over the threshold, left after a long enough pause."""
    leave = max(threshold - _HYSTERESIS, 0.01)
    max_pause = max(1, round(min_silence_s / FRAME_S))
    found: list[tuple[int, int]] = []
    start, last = -1, -1
    for i, probability in enumerate(probabilities.tolist()):
        if probability >= threshold or (start >= 0 and probability >= leave):
            start, last = (i if start < 0 else start), i
        elif start >= 0 and i - last >= max_pause:
            found.append((start, last + 1))
            start = -1
    if start >= 0:
        found.append((start, last + 1))
    return [(a, b) for a, b in found if (b - a) * FRAME_S >= _MIN_SPEECH_S]


def _padded(spoken: list[tuple[int, int]], n_samples: int) -> list[Region]:
    """Regions with their margins; neighbours share the pause between them."""
    pad = int(_PAD_S * STT_RATE_HZ)
    starts = [a * FRAME for a, _ in spoken]
    ends = [min(b * FRAME, n_samples) for _, b in spoken]
    middles = [(end + start) // 2 for end, start in zip(ends, starts[1:], strict=False)]
    lows, highs = [0, *middles], [*middles, n_samples]
    return [
        Region(max(low, start - pad), min(high, end + pad))
        for start, end, low, high in zip(starts, ends, lows, highs, strict=False)
    ]


def _cut(region: Region, samples: Samples, max_window_s: float) -> list[Region]:
    """The region, or parts of it that fit in the window."""
    window = int(max_window_s * STT_RATE_HZ)
    search_s = min(_CUT_SEARCH_S, max_window_s / 2)
    cuts = [region.start]
    while region.end - cuts[-1] > window:
        ahead = samples[cuts[-1] : cuts[-1] + window]
        cuts.append(cuts[-1] + quietest_point(ahead, STT_RATE_HZ, search_s))
    return [Region(a, b) for a, b in pairwise([*cuts, region.end])]


@cache
def _session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    return onnxruntime.InferenceSession(str(_model()), options, providers=["CPUExecutionProvider"])


def _model() -> Path:
    """The weights inside faster-whisper, found without importing it (it loads CTranslate2)."""
    package = find_spec("faster_whisper")
    if package is None or not package.submodule_search_locations:
        raise WeightsError("The voice detector's weights come with faster-whisper, which is not installed.")
    return Path(package.submodule_search_locations[0]) / "assets" / "silero_vad_v6.onnx"
