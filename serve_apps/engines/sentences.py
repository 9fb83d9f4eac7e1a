"""From one stretch of recognised text to segments a reader can follow: sentences with times."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from serve_apps.wire import STT_RATE_HZ, Samples, Segment, Word

_END = re.compile(
    r"(?:(?<=[.!?\u2026])|(?<=[.!?\u2026][\"')\u201d\u2019]))(?<!\bMr\.)(?<!\bMrs\.)(?<!\bDr\.)\s+"
)
"""White space after a sentence's end: a mark, or a mark and a closing quote."""
_FRAME_S = 0.02
_PAUSE_FRAMES = 10
"""A fifth of a second: shorter gaps are inside words."""
_REACH_FRAMES = 60
"""How far a sentence's end may be from its estimate: a bit over a second."""
_LOUD = 0.1
"""A frame counts as voiced above this part of the loudest frames' level."""


def segments(text: str, samples: Samples, words: tuple[Word, ...] = ()) -> list[Segment]:
    """Split `text` into sentences with times.

    Args:
        text: what was said in `samples`.
        samples: 16 kHz, shape (n_samples,).
        words: times of every word of `text`, if known. Without them, sentences share the voiced
            time in proportion to their letters, and end at the nearest pause.
    """
    parts = [part for part in _END.split(text.strip()) if part]
    if not parts:
        return []
    return _timed_by_words(parts, words) if words else _timed_by_voice(parts, samples)


def _timed_by_words(parts: list[str], words: tuple[Word, ...]) -> list[Segment]:
    found, first = [], 0
    for part in parts:
        own = words[first : first + len(part.split())]
        first += len(own)
        found.append(Segment(text=part, start_s=own[0].start_s, end_s=own[-1].end_s, words=own))
    return found


def _timed_by_voice(parts: list[str], samples: Samples) -> list[Segment]:
    lengths = np.cumsum([len(part) for part in parts])
    voiced = _voiced(samples)
    passed = voiced.cumsum()
    inner = np.searchsorted(passed, lengths[:-1] / lengths[-1] * passed[-1]).tolist()
    gaps = [(0, int(voiced.argmax())), *_nearest_pauses(inner, voiced)]
    gaps.append((len(voiced) - int(voiced[::-1].argmax()), len(voiced)))
    return [
        Segment(text=part, start_s=round(before[1] * _FRAME_S, 2), end_s=round(after[0] * _FRAME_S, 2))
        for part, (before, after) in zip(parts, pairwise(gaps), strict=True)
    ]


def _voiced(samples: Samples) -> NDArray[np.bool_]:
    """Which frames are loud enough to be voice; all of them if nothing stands out."""
    frame = int(_FRAME_S * STT_RATE_HZ)
    padded = np.pad(samples, (0, -len(samples) % frame))
    level = np.sqrt(np.square(padded.reshape(-1, frame)).mean(axis=1))
    voiced: NDArray[np.bool_] = level >= _LOUD * np.quantile(level, 0.95)
    return voiced


def _nearest_pauses(frames: list[int], voiced: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The pause (start, end) near each of `frames`, in order; the frame itself where there is none."""
    changes = np.flatnonzero(np.diff(voiced.astype(np.int8), prepend=1, append=1))
    pauses = [(a, b) for a, b in changes.reshape(-1, 2).tolist() if b - a >= _PAUSE_FRAMES]
    found = [(0, 0)]
    for frame in frames:
        at = max(frame, found[-1][1])
        near = [p for p in pauses if p[0] > found[-1][1] and _distance(p, at) <= _REACH_FRAMES]
        # A longer pause is more likely a sentence's end than a nearer comma.
        found.append(min(near, key=lambda p: _distance(p, at) - (p[1] - p[0]), default=(at, at)))
    return found[1:]


def _distance(pause: tuple[int, int], frame: int) -> int:
    return max(pause[0] - frame, frame - pause[1], 0)
