"""What the microphone sent, by stream time: the past is kept only as long as a turn may need it."""

from __future__ import annotations

from collections import deque

import numpy as np

from serve_apps.wire import STT_RATE_HZ, Samples


class InputBuffer:
    """Samples at 16 kHz, addressed by seconds since the session's first one."""

    def __init__(self) -> None:
        self._pieces: deque[Samples] = deque()
        self._start = 0  # stream index of the first sample that is kept
        self._end = 0

    @property
    def start_s(self) -> float:
        """Stream time of the oldest sample that is kept."""
        return self._start / STT_RATE_HZ

    @property
    def end_s(self) -> float:
        """Stream time after the newest sample."""
        return self._end / STT_RATE_HZ

    def append(self, samples: Samples) -> None:
        """Add what follows."""
        self._pieces.append(samples)
        self._end += len(samples)

    def cut(self, start_s: float, end_s: float | None = None) -> Samples:
        """A copy of the samples between two stream times, as far as they are kept."""
        start = max(0, round(start_s * STT_RATE_HZ) - self._start)
        end = (self._end if end_s is None else round(end_s * STT_RATE_HZ)) - self._start
        found, at = [], 0
        for piece in self._pieces:
            if at + len(piece) > start and at < end:
                found.append(piece[max(0, start - at) : end - at])
            at += len(piece)
        return np.concatenate(found) if found else np.zeros(0, np.float32)

    def forget_before(self, start_s: float) -> None:
        """Free pieces that end before a stream time."""
        start = round(start_s * STT_RATE_HZ)
        while self._pieces and self._start + len(self._pieces[0]) <= start:
            self._start += len(self._pieces.popleft())
