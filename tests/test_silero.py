from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from serve_apps import media
from serve_apps.engines.silero import FRAME, Region, Silero, speech_regions, speech_windows
from serve_apps.settings import ASSETS
from serve_apps.wire import STT_RATE_HZ, Samples

N_SENTENCES = 5
SETTINGS = {"threshold": 0.5, "min_silence_s": 0.3, "max_window_s": 30.0}


@pytest.fixture(scope="module")
def speech() -> Samples:
    return media.read(ASSETS / "samples" / "announcement.ogg").samples


def silence(duration_s: float) -> Samples:
    return np.zeros(int(duration_s * STT_RATE_HZ), np.float32)


def test_a_stream_in_pieces_is_heard_as_one(speech: Samples) -> None:
    whole = speech[: len(speech) // FRAME * FRAME]
    stream = Silero()
    pieces = [stream.probabilities(whole[i : i + 3 * FRAME]) for i in range(0, len(whole), 3 * FRAME)]
    assert np.allclose(np.concatenate(pieces), Silero().probabilities(whole), atol=1e-5)


def test_a_reset_stream_starts_afresh(speech: Samples) -> None:
    first = speech[: 20 * FRAME]
    stream = Silero()
    before = stream.probabilities(first)
    stream.reset()
    assert np.array_equal(stream.probabilities(first), before)


def test_no_frames_no_probabilities() -> None:
    assert Silero().probabilities(silence(0)).shape == (0,)


def test_regions_are_the_sentences(speech: Samples) -> None:
    regions = speech_regions(speech, **SETTINGS)
    assert len(regions) >= N_SENTENCES
    assert all(a.end <= b.start for a, b in pairwise(regions))
    assert sum(r.end - r.start for r in regions) > 0.8 * len(speech)


@pytest.mark.parametrize("amplitude", [0.0, 0.001, 0.01, 0.1, 0.5])
def test_nobody_speaks_in_silence_and_noise(amplitude: float) -> None:
    noise = np.random.default_rng(0).standard_normal(20 * STT_RATE_HZ).astype(np.float32) * amplitude
    assert speech_regions(noise, **SETTINGS) == []


@pytest.mark.parametrize("n_samples", [0, 1, FRAME - 1, FRAME, FRAME + 1])
def test_very_short_sounds(n_samples: int) -> None:
    assert speech_regions(np.zeros(n_samples, np.float32), **SETTINGS) == []


def test_threshold_zero_takes_everything_for_speech() -> None:
    settings = {**SETTINGS, "threshold": 0.0}
    assert speech_regions(silence(10), **settings) == [Region(0, 10 * STT_RATE_HZ)]


def test_long_speech_is_cut_to_the_window(speech: Samples) -> None:
    endless = np.tile(speech, 4)
    for find in (speech_regions, speech_windows):
        regions = find(endless, threshold=0.5, min_silence_s=5.0, max_window_s=8.0)
        assert max(r.end - r.start for r in regions) <= 8 * STT_RATE_HZ
        assert sum(r.end - r.start for r in regions) > 0.9 * len(endless)


def test_neighbouring_regions_share_a_window(speech: Samples) -> None:
    assert len(speech_windows(speech, **SETTINGS)) == 1


def test_a_long_pause_separates_windows(speech: Samples) -> None:
    twice = np.concatenate([speech, silence(4.0), speech])
    first, second = speech_windows(twice, **{**SETTINGS, "max_window_s": 60.0})
    assert first.end < len(speech) + STT_RATE_HZ
    assert second.start > len(speech) + 3 * STT_RATE_HZ


def test_the_detector_does_not_import_its_neighbour() -> None:
    script = "import serve_apps.engines.silero, sys; sys.exit('ctranslate2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
