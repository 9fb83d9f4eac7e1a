"""Sound on the wire: 16-bit samples and G.711, in and out, and the rate of the other side.

A session works at 16 kHz (`STT_RATE_HZ`); engines speak at a rate of their own. Clients send and hear 24 kHz
samples or 8 kHz G.711. A byte of G.711 is looked up in a table, a sample is looked up in another.

Source: ITU-T Recommendation G.711 (11/1988), tables 1a to 2b.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from serve_apps.errors import AudioUnreadable
from serve_apps.realtime.config import AudioFormat, Pcm
from serve_apps.samples import StreamResampler, from_int16, resample, to_int16
from serve_apps.wire import STT_RATE_HZ, Audio, Samples

__all__ = ["Decoder", "Encoder", "duration_ms", "from_bytes", "to_bytes"]

JOINT_S = 0.02
"""Sound that is mirrored at both sides of a change of rate; longer than what a filter sees."""
_PCM_BYTES = 2
_BIAS = 132
"""µ-law's segments are powers of two once this is added, in 16-bit units."""
_LOUDEST = 32_635
"""µ-law clips here."""


class Decoder:
    """A client's bytes as samples at 16 kHz.

    Args:
        format: what the client sends.
    """

    def __init__(self, format: AudioFormat) -> None:  # noqa: A002 (the protocol's word for it)
        self._format = format
        self._resampler = StreamResampler(format.rate_hz, STT_RATE_HZ)
        self._behind = 0  # in samples at the product of both rates, so that nothing is rounded

    def __call__(self, data: bytes) -> Samples:
        """The next bytes of the stream; returns what is ready, at most 30 ms behind.

        Raises:
            AudioUnreadable: half a sample.
        """
        samples = _samples(data, self._format)
        ready = self._resampler(samples)
        self._behind += len(samples) * STT_RATE_HZ - len(ready) * self._format.rate_hz
        return ready

    @property
    def behind_s(self) -> float:
        """Sound that came in and is not out yet."""
        return max(0.0, self._behind / (STT_RATE_HZ * self._format.rate_hz))

    def flush(self) -> Samples:
        """The stream ends: return what was held back."""
        self._behind = 0
        return self._resampler.flush()


class Encoder:
    """Speech at any rate as the bytes a client wants. The rate may change from call to call.

    Args:
        format: what the client hears.
    """

    def __init__(self, format: AudioFormat) -> None:  # noqa: A002
        self._format = format
        self._part: _OneRate | None = None

    def __call__(self, audio: Audio) -> bytes:
        """The next piece of speech; returns what is ready, at most 30 ms behind."""
        samples = np.nan_to_num(audio.samples, nan=0.0, posinf=1.0, neginf=-1.0)
        held = np.zeros(0, np.float32)
        if len(samples) and (self._part is None or self._part.rate_hz != audio.rate_hz):
            if self._part is None:
                self._part = _OneRate(audio.rate_hz, self._format.rate_hz)
            else:
                held = self._part.end(joined=True)
                self._part = _OneRate(audio.rate_hz, self._format.rate_hz, before=samples)
        ready = self._part.feed(samples) if self._part is not None else samples
        return _bytes(np.concatenate([held, ready]), self._format)

    def flush(self) -> bytes:
        """The speech ends: return what was held back."""
        part, self._part = self._part, None
        return b"" if part is None else _bytes(part.end(joined=False), self._format)


class _OneRate:
    """A part of a speech, all at one rate.

    A resampler takes silence for granted before and after its stream. Where another part joins, that would
    dip to half the level at the seam, a click; so the sound is mirrored there, and the mirror image dropped.

    Args:
        rate_hz: of this part.
        to_hz: what it becomes.
        before: the first samples of this part, when another one came before it.
    """

    def __init__(self, rate_hz: int, to_hz: int, before: Samples | None = None) -> None:
        self.rate_hz = rate_hz
        self._ratio = to_hz / rate_hz
        self._resampler = StreamResampler(rate_hz, to_hz)
        self._n_in = self._n_out = self._n_dropped = 0
        self._last = np.zeros(0, np.float32)
        if before is not None:
            image = before[: self._n_joint][::-1]
            self._n_dropped = round(len(image) * self._ratio)
            self._out(self._resampler(image))

    def feed(self, samples: Samples) -> Samples:
        self._n_in += len(samples)
        self._last = np.concatenate([self._last, samples])[-self._n_joint :]
        return self._out(self._resampler(samples))

    def end(self, *, joined: bool) -> Samples:
        image = self._last[::-1] if joined else self._last[:0]
        rest = self._out(np.concatenate([self._resampler(image), self._resampler.flush()]))
        return rest[: max(0, round(self._n_in * self._ratio) - (self._n_out - len(rest)))]

    @property
    def _n_joint(self) -> int:
        return round(JOINT_S * self.rate_hz)

    def _out(self, ready: Samples) -> Samples:
        n_dropped = min(self._n_dropped, len(ready))
        self._n_dropped -= n_dropped
        self._n_out += len(ready) - n_dropped
        return ready[n_dropped:]


def to_bytes(samples: Samples, format: AudioFormat) -> bytes:  # noqa: A002
    """A whole sound, 16 kHz, as a client's bytes."""
    return _bytes(resample(samples, STT_RATE_HZ, format.rate_hz), format)


def from_bytes(data: bytes, format: AudioFormat) -> Samples:  # noqa: A002
    """A whole sound that a client sent, at 16 kHz.

    Raises:
        AudioUnreadable: half a sample.
    """
    return resample(_samples(data, format), format.rate_hz, STT_RATE_HZ)


def duration_ms(data: bytes, format: AudioFormat) -> float:  # noqa: A002
    """Length of a client's bytes in milliseconds."""
    n_samples = len(data) // _PCM_BYTES if isinstance(format, Pcm) else len(data)
    return n_samples * 1000 / format.rate_hz


def _samples(data: bytes, format: AudioFormat) -> Samples:  # noqa: A002
    if not isinstance(format, Pcm):
        return from_int16(_levels(format.type)[np.frombuffer(data, np.uint8)])
    if len(data) % _PCM_BYTES:
        raise AudioUnreadable(
            f"The audio has {len(data):,} bytes, and each sample of audio/pcm is two.",
            "Send whole samples, 16-bit little-endian; for G.711 set the format to audio/pcmu or audio/pcma.",
        )
    return from_int16(np.frombuffer(data, "<i2"))


def _bytes(samples: Samples, format: AudioFormat) -> bytes:  # noqa: A002
    levels = to_int16(samples)
    if isinstance(format, Pcm):
        return levels.astype("<i2", copy=False).tobytes()
    return _codes(format.type)[levels.view(np.uint16)].tobytes()


@cache
def _levels(law: str) -> NDArray[np.int16]:
    """What each of the 256 codes stands for."""
    codes = np.arange(256)
    return (_mu_levels(codes) if law == "audio/pcmu" else _a_levels(codes)).astype(np.int16)


@cache
def _codes(law: str) -> NDArray[np.uint8]:
    """The code of each 16-bit sample, by its two's complement."""
    samples = np.arange(1 << 16, dtype=np.uint16).view(np.int16).astype(np.int32)
    return (_mu_codes(samples) if law == "audio/pcmu" else _a_codes(samples)).astype(np.uint8)


def _mu_levels(codes: NDArray[np.int_]) -> NDArray[np.int_]:
    bits = ~codes & 0xFF
    size = (((bits & 0x0F) << 3) + _BIAS << (bits >> 4 & 7)) - _BIAS
    return np.where(bits & 0x80, -size, size)


def _mu_codes(samples: NDArray[np.int32]) -> NDArray[np.int32]:
    size = np.minimum(np.abs(samples), _LOUDEST) + _BIAS
    segment = _top_bit(size) - 7
    sign = np.where(samples < 0, 0x80, 0)
    codes: NDArray[np.int32] = ~(sign | segment << 4 | size >> segment + 3 & 0x0F) & 0xFF
    return codes


def _a_levels(codes: NDArray[np.int_]) -> NDArray[np.int_]:
    bits = codes ^ 0x55
    step, segment = bits & 0x0F, bits >> 4 & 7
    size = np.where(segment, (step << 4) + 0x108 << np.maximum(segment - 1, 0), (step << 4) + 8)
    return np.where(bits & 0x80, size, -size)


def _a_codes(samples: NDArray[np.int32]) -> NDArray[np.int32]:
    size = np.where(samples < 0, ~samples, samples)
    segment = np.maximum(_top_bit(size) - 7, 0)
    step = size >> np.maximum(segment + 3, 4) & 0x0F
    sign = np.where(samples < 0, 0, 0x80)
    codes: NDArray[np.int32] = (sign | segment << 4 | step) ^ 0x55
    return codes


def _top_bit(numbers: NDArray[np.int32]) -> NDArray[np.int32]:
    """The index of the highest bit that is set; -1 for zero."""
    exponents: NDArray[np.int32] = np.frexp(numbers)[1]
    return exponents - 1
