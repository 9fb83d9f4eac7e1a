"""A microphone that plays recordings: pieces of 20 ms on a clock, and a quiet room when nobody speaks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.mock_voice import LOUD
from serve_apps import media
from serve_apps.samples import resample
from serve_apps.wire import STT_RATE_HZ, Samples
from tests.recordings import recording

PIECE_S = 0.02
ROOM_RMS = 1e-3
"""A quiet room: -60 dB."""
QUIET_RMS = 10 ** (-50 / 20)
TOGETHER_S = 0.2
HANGOVER_S = 2.5
"""As `assets/live/uplink.js`: this long after the last sound, quiet pieces travel together."""

Send = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Speech:
    """Somebody's words, from the first sample that is loud to the last; float32 at 16 kHz."""

    samples: Samples

    def at(self, rate_hz: int) -> Samples:
        """The same at another rate."""
        return resample(self.samples, STT_RATE_HZ, rate_hz)

    def in_room(self, around_s: float) -> Samples:
        """With so much of a quiet room before and after it, at 16 kHz."""
        room = noise(round(around_s * STT_RATE_HZ))
        return np.concatenate([room, self.samples, room])


@dataclass(frozen=True, slots=True)
class Spoken:
    """When something was said, on `time.perf_counter`."""

    began_at: float
    ended_at: float
    """The last sample of speech."""


def speech(name: str, start_s: float, end_s: float) -> Speech:
    """What is said between two times of one of `tests.recordings`, without the quiet around it."""
    samples = media.read(recording(name)).samples
    return Speech(trimmed(samples[round(start_s * STT_RATE_HZ) : round(end_s * STT_RATE_HZ)]))


def trimmed(samples: Samples) -> Samples:
    """From the first loud 20 ms to the last."""
    n = STT_RATE_HZ // 50
    frames = samples[: len(samples) // n * n].reshape(-1, n)
    (loud,) = np.nonzero(np.square(frames).mean(axis=1) > LOUD**2)
    return samples[loud[0] * n : (loud[-1] + 1) * n] if len(loud) else samples[:0]


def noise(n_samples: int) -> Samples:
    """The room, the same every time."""
    return (ROOM_RMS * np.random.default_rng(0).standard_normal(n_samples)).astype(np.float32)


def pcm(samples: Samples) -> bytes:
    """16-bit samples."""
    return (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()


class Uplink:
    """Which pieces travel when: at once around speech, together in a quiet room."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._quiet_s = HANGOVER_S

    def hear(self, samples: Samples) -> bytes | None:
        """The next piece; returns what is to be sent now."""
        loud = len(samples) and float(np.square(samples).mean()) > QUIET_RMS**2
        self._quiet_s = 0.0 if loud else self._quiet_s + PIECE_S
        self._held.append(pcm(samples))
        if self._quiet_s > HANGOVER_S and len(self._held) * PIECE_S < TOGETHER_S - 1e-9:
            return None
        held, self._held = self._held, []
        return b"".join(held)


class Microphone:
    """Open from `run` on; a piece leaves when its last sample has been made.

    Args:
        rate_hz: of the samples it sends.
        send: takes 16-bit samples.
    """

    def __init__(self, rate_hz: int, send: Send) -> None:
        self._rate_hz = rate_hz
        self._send = send
        self._n_piece = round(rate_hz * PIECE_S)
        self._room = noise(rate_hz).reshape(-1, self._n_piece)
        self._said: list[Samples] = []
        self._n_made = 0
        self._uplink = Uplink()
        self._opened_at = 0.0

    async def run(self) -> None:
        """Until it is cancelled."""
        self._opened_at = time.perf_counter()
        while True:
            piece = self._said.pop(0) if self._said else self._room[self._n_made % len(self._room)]
            self._n_made += 1
            due_at = self._opened_at + self._n_made * PIECE_S
            await asyncio.sleep(due_at - time.perf_counter())
            if (data := self._uplink.hear(piece)) is not None:
                await self._send(data)

    def made_at(self, stream_s: float) -> float:
        """When the sample at this time of the stream was made, on `time.perf_counter`."""
        return self._opened_at + stream_s

    def say(self, words: Speech) -> Spoken:
        """Speak from the next piece on; returns when that will have been."""
        samples = words.at(self._rate_hz)
        n_room = -len(samples) % self._n_piece
        padded = np.concatenate([samples, self._room.reshape(-1)[:n_room]])
        # The piece under way was made, or is being made, already.
        began_at = self._opened_at + (self._n_made + len(self._said)) * PIECE_S
        self._said += list(padded.reshape(-1, self._n_piece))
        return Spoken(began_at, began_at + len(samples) / self._rate_hz)
