"""From one stretch of recognised text to segments a reader can follow: sentences with times."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from serve_apps.wire import STT_RATE_HZ, Samples, Segment, Word

_END = re.compile(
    r"(?:(?<=[.!?\u2026])|(?<=[.!?\u2026][\"')\u201d\u2019]))(?<!\bMr\.)(?<!\bMrs\.)(?<!\bDr\.)\s+"
)
"""White space after a sentence's end: a mark, or a mark and a closing quote."""
_FRAME_S = 0.02
_LOUD = 0.1
"""A frame counts as voiced above this part of the loudest frames' level."""


def segments(text: str, samples: Samples, words: tuple[Word, ...] = ()) -> list[Segment]:
    """Split `text` into sentences with times.

    Args:
        text: what was said in `samples`.
        samples: 16 kHz, shape (n_samples,).
        words: times of every word of `text`, if known. Without them, sentences share the voiced
            time in proportion to their letters: right to about half a second.
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
    lengths = np.cumsum([0, *(len(part) for part in parts)])
    starts_s, ends_s = _voiced_times_s(samples, lengths / lengths[-1])
    return [
        Segment(text=part, start_s=start, end_s=end)
        for part, start, end in zip(parts, starts_s, ends_s, strict=True)
    ]


def _voiced_times_s(samples: Samples, fractions: NDArray[np.float64]) -> tuple[list[float], list[float]]:
    """When the voice goes on after, and when it reaches, each fraction of the voiced time."""
    frame = int(_FRAME_S * STT_RATE_HZ)
    level = np.sqrt(np.square(samples[: len(samples) // frame * frame].reshape(-1, frame)).mean(axis=1))
    if not level.any():
        even = (fractions * (len(samples) / STT_RATE_HZ)).tolist()
        return even[:-1], even[1:]
    voiced = (level >= _LOUD * np.quantile(level, 0.95)).cumsum()
    starts = np.searchsorted(voiced, fractions[:-1] * voiced[-1], side="right")
    ends = np.searchsorted(voiced, fractions[1:] * voiced[-1], side="left") + 1
    return (starts * _FRAME_S).round(2).tolist(), (ends * _FRAME_S).round(2).tolist()
