"""How much of what the microphone hears is our own voice, coming out of the user's loudspeaker.

The answer reaches the microphone late, softer, coloured by the loudspeaker and the room's walls, and
under other sounds. So: find the delay, let a short filter in each frequency turn what was played into
what was heard as well as it can, and see how much energy that explains.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from serve_apps.wire import STT_RATE_HZ, Samples

MAX_DELAY_S = 0.5
"""From playing a sample to hearing it: buffers on both ways and the air between."""
WINDOW_S = 0.4
"""How much to judge at once: shorter explains strangers by chance, longer notices an interruption late."""

_MAX_DELAY = int(MAX_DELAY_S * STT_RATE_HZ)
_FRAME, _HOP = 512, 128
_FILTER_FRAMES = 5
_FILTER_STEP = _FRAME // 2
"""The filter in each frequency sees 5 frames, 16 ms apart: 80 ms of the room's answer."""
_FIRST_BIN, _LAST_BIN = 200 * _FRAME // STT_RATE_HZ, 4_000 * _FRAME // STT_RATE_HZ
"""Where speech has its energy; below is hum, above a small loudspeaker and the hiss say little."""
_EMPHASIS = 0.7
"""Share of the sample before that is taken away: evens out speech, which is loudest below 500 Hz."""
_LOADING = 1e-3
"""Keeps the filter finite where the answer is silent."""
_CHANCE_S, _MOST_CHANCE = 0.095, 0.95
"""The filter also fits strangers: to this share of one second, measured, which is taken off."""
_SILENCE = 1e-10
"""Mean power (-100 dB) with nothing to explain, or to explain it with."""
_WINDOW = np.hanning(_FRAME).astype(np.float32)

_Spectrogram = NDArray[np.complexfloating[Any, Any]]


def echo_share(heard: Samples, played: Samples) -> float:
    """How much of the heard sound's energy is explained by the played one, in [0, 1].

    Takes 0.8 ms for `WINDOW_S`. `barge_in` has a table of measured shares.

    Args:
        heard: 16 kHz, at least 32 ms; `WINDOW_S` is best.
        played: 16 kHz; begins `MAX_DELAY_S` before `heard` and ends with it. If it is shorter, its
            start is missing, as at an answer's beginning.

    Returns:
        0 when either is silent or too short to tell.
    """
    wanted = len(heard) + _MAX_DELAY
    played = np.pad(played, (max(0, wanted - len(played)), 0))[-wanted:]
    if len(heard) < _FRAME or not (_power(heard) > _SILENCE and _power(played) > _SILENCE):
        return 0.0
    heard, played = _emphasised(heard), _emphasised(played)
    spoken = _spectrogram(heard)
    left = spoken - _explained(spoken, _references(played, _offset(heard, played), len(heard)))
    share = 1.0 - _energy(left) / (_energy(spoken) + 1e-20)
    chance = min(_CHANCE_S / (len(heard) / STT_RATE_HZ), _MOST_CHANCE)
    return float(min(max((share - chance) / (1.0 - chance), 0.0), 1.0))


def _offset(heard: Samples, played: Samples) -> int:
    """Where in `played` the sound is that `heard` begins with: the peak of their correlation.

    Half whitened, so that a voice's pitch does not hide the one true peak between many.
    """
    size = 1 << (len(played) - 1).bit_length()
    cross = np.conj(np.fft.rfft(heard, size)) * np.fft.rfft(played, size)
    correlation = np.fft.irfft(cross / (np.sqrt(np.abs(cross)) + 1e-12), size)
    return int(np.argmax(np.abs(correlation[: _MAX_DELAY + 1])))


def _references(played: Samples, offset: int, n_samples: int) -> _Spectrogram:
    """What was played, as each tap of the filter sees it, shape (frequencies, frames, taps).

    One tap lies ahead: the strongest path need not be the first.
    """
    before, after = _FILTER_STEP * (_FILTER_FRAMES - 2), _FILTER_STEP
    padded = np.pad(played, (before, after))
    starts = (before + offset - tap * _FILTER_STEP for tap in range(-1, _FILTER_FRAMES - 1))
    return np.stack([_spectrogram(padded[start : start + n_samples]) for start in starts], axis=-1)


def _explained(spoken: _Spectrogram, references: _Spectrogram) -> _Spectrogram:
    """The best fit of `spoken` by filtered `references`: least squares in each frequency."""
    adjoint = references.conj().transpose(0, 2, 1)
    products = adjoint @ references
    power = np.trace(products, axis1=1, axis2=2).real / _FILTER_FRAMES
    products += np.eye(_FILTER_FRAMES, dtype=np.float32) * (_LOADING * power + 1e-9)[:, None, None]
    fit: _Spectrogram = references @ np.linalg.solve(products, adjoint @ spoken[..., None])
    return fit[..., 0]


def _spectrogram(samples: Samples) -> _Spectrogram:
    """Shape (frequencies, frames)."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, _FRAME)[::_HOP]
    spectra: _Spectrogram = np.fft.rfft(frames * _WINDOW, axis=1)[:, _FIRST_BIN:_LAST_BIN].T
    return spectra


def _emphasised(samples: Samples) -> Samples:
    return np.append(samples[:1], samples[1:] - np.float32(_EMPHASIS) * samples[:-1])


def _power(samples: Samples) -> float:
    return float(np.dot(samples, samples)) / len(samples)


def _energy(spectra: _Spectrogram) -> float:
    return float(np.sum(spectra.real**2 + spectra.imag**2))
