"""Speech, rooms and noises for the tests of the ears: espeak-ng's voices, and what a room does to them."""

from __future__ import annotations

from functools import cache

import numpy as np

from serve_apps import media
from serve_apps.args import TtsArgs
from serve_apps.engines.espeak import EspeakTts
from serve_apps.samples import resample
from serve_apps.settings import ASSETS
from serve_apps.wire import STT_RATE_HZ, Audio, Samples, SpeakRequest
from tests.recordings import recording

ANSWER = (
    "The museum opens at nine in the morning and closes at six. On the first Sunday of every month, "
    "visitors can come in for free. There is a small garden behind the main building, where you may "
    "eat what you have brought. Tickets are sold at the door, or on the web page of the museum."
)


@cache
def say(text: str, voice: str = "en-us", speed: float = 1.0) -> Samples:
    """What espeak-ng makes of a text, at 16 kHz."""
    engine = EspeakTts(TtsArgs())
    pieces = list(engine.speak(SpeakRequest(text=text, voice=voice, speed=speed)))
    samples = [piece.samples if isinstance(piece, Audio) else piece for piece in pieces]
    return resample(np.concatenate(samples), engine.rate_hz, STT_RATE_HZ)


@cache
def sample(name: str) -> Samples:
    """One of our sample files, or of the recordings of people reading."""
    ours = ASSETS / "samples" / f"{name}.ogg"
    return media.read(ours if ours.exists() else recording(name)).samples


def silence(duration_s: float) -> Samples:
    """Digital silence."""
    return np.zeros(int(duration_s * STT_RATE_HZ), np.float32)


def hiss(n_samples: int, level_db: float, seed: int = 0) -> Samples:
    """White noise of a level in dB of full scale."""
    noise = np.random.default_rng(seed).standard_normal(n_samples) * 10 ** (level_db / 20)
    return noise.astype(np.float32)


def level_db(samples: Samples) -> float:
    """Mean power."""
    return 10 * float(np.log10(np.mean(samples**2) + 1e-12))


def at_level(samples: Samples, wanted_db: float) -> Samples:
    """The same sound, louder or softer."""
    return samples * np.float32(10 ** ((wanted_db - level_db(samples)) / 20))


def noisy(samples: Samples, snr_db: float, seed: int = 0) -> Samples:
    """With white noise this far below its mean power."""
    return samples + hiss(len(samples), level_db(samples) - snr_db, seed)


def delayed(samples: Samples, delay_s: float) -> Samples:
    """Later by this much; as long as before."""
    return np.concatenate([silence(delay_s), samples])[: len(samples)]


def in_room(samples: Samples, *, reverb_s: float = 0.25, direct_to_reverb_db: float = 3.0) -> Samples:
    """Through a small loudspeaker (300 to 6000 Hz) and a room, into a microphone; the level is kept.

    The room answers with the direct sound and noise that has decayed by 60 dB after `reverb_s`.
    """
    n = int(reverb_s * STT_RATE_HZ)
    times_s = np.arange(n) / STT_RATE_HZ
    answer = np.random.default_rng(0).standard_normal(n) * 10 ** (-3 * times_s / reverb_s)
    answer *= np.sqrt(10 ** (-direct_to_reverb_db / 10) / np.sum(answer**2))
    answer[0] += 1.0
    size = len(samples) + n
    spectrum = np.fft.rfft(samples, size) * np.fft.rfft(answer, size)
    hz = np.fft.rfftfreq(size, 1 / STT_RATE_HZ)
    spectrum /= np.sqrt(1 + (300 / np.maximum(hz, 1)) ** 4) * np.sqrt(1 + (hz / 6000) ** 8)
    heard = np.fft.irfft(spectrum, size)[: len(samples)].astype(np.float32)
    return at_level(heard, level_db(samples))


def clipped(samples: Samples, share: float = 0.5) -> Samples:
    """As a loudspeaker that is turned up too far: cut off at this share of the loudest sample."""
    limit = share * np.abs(samples).max(initial=0.0)
    return np.clip(samples, -limit, limit)
