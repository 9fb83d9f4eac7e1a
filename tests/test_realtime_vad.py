"""The streaming detector on people's and espeak-ng's voices, in silence and noise."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

from serve_apps.realtime.vad import (
    FRAME,
    FRAME_S,
    PAUSE_S,
    SpeechPaused,
    SpeechResumed,
    SpeechStarted,
    VadEvent,
    VadStream,
)
from serve_apps.wire import STT_RATE_HZ, Samples
from tests.speech_sounds import at_level, hiss, level_db, noisy, sample, say, silence

VOICES = {"announcement": 0.02, "question": 0.02, "beckett": 0.34, "two_cities": 1.2}
"""The recordings, and the second at which somebody begins to speak in them."""


def events(samples: Samples, vad: VadStream | None = None, chunk: int = 320) -> list[VadEvent]:
    vad = vad or VadStream()
    return [event for i in range(0, len(samples), chunk) for event in vad.feed(samples[i : i + chunk])]


def between_silences(samples: Samples, before_s: float = 3.0) -> Samples:
    return np.concatenate([silence(before_s), samples, silence(2.0)])


def onset_s(samples: Samples) -> float:
    """Where the sound first comes within 20 dB of its mean."""
    frames = samples[: len(samples) // 160 * 160].reshape(-1, 160)
    loud = np.sqrt(np.mean(frames**2, axis=1)) > 10 ** ((level_db(samples) - 20) / 20)
    return float(np.argmax(loud)) * 160 / STT_RATE_HZ


# ---- what is noticed -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VOICES)
@pytest.mark.parametrize("gain_db", [-25, 0, 10])
@pytest.mark.parametrize("snr_db", [None, 20, 10])
def test_speech_is_found_where_it_starts_at_any_level(name: str, gain_db: int, snr_db: int | None) -> None:
    speech = sample(name)[: 8 * STT_RATE_HZ]
    sound = between_silences(np.clip(speech * np.float32(10 ** (gain_db / 20)), -1, 1))
    if snr_db is not None:
        sound = sound + hiss(len(sound), level_db(speech) + gain_db - snr_db)
    starts = [event.at_s for event in events(sound) if isinstance(event, SpeechStarted)]
    assert len(starts) == 1
    assert starts[0] - 3.0 == pytest.approx(VOICES[name], abs=2 * FRAME_S)


def test_the_start_is_the_first_voiced_frame_not_the_moment_it_was_sure() -> None:
    speech = say("Good morning, how are you?")
    vad, sound = VadStream(), between_silences(speech)
    for i in range(0, len(sound), 160):
        found = vad.feed(sound[i : i + 160])
        if found:
            break
    assert found == [SpeechStarted(pytest.approx(3.0 + onset_s(speech), abs=2 * FRAME_S))]
    assert vad.heard_s - found[0].at_s < 0.2
    assert vad.speaking
    assert vad.speech_s >= 0.09


def test_a_pause_is_told_soon_and_then_that_it_goes_on() -> None:
    first, second = say("I would like to know"), say("how late it is")
    sound = np.concatenate([silence(1.0), first, silence(0.6), second, silence(1.0)])
    vad, told = VadStream(), []
    for i in range(0, len(sound), 320):
        told += [(event, vad.heard_s) for event in vad.feed(sound[i : i + 320])]
    kinds = [type(event) for event, _ in told]
    assert kinds == [SpeechStarted, SpeechPaused, SpeechResumed, SpeechPaused]
    pauses = [(event.at_s, now_s) for event, now_s in told if isinstance(event, SpeechPaused)]
    assert all(now_s - at_s <= PAUSE_S + FRAME_S for at_s, now_s in pauses)


def test_after_the_turn_the_next_speech_starts_anew() -> None:
    vad = VadStream()
    assert [type(e) for e in events(between_silences(say("Hello there.")), vad)] == [
        SpeechStarted,
        SpeechPaused,
    ]
    assert vad.speech_s > 0.3
    vad.end_turn()
    assert vad.speech_s == 0
    assert isinstance(events(say("Good morning."), vad)[0], SpeechStarted)


def test_a_turn_that_is_ended_in_mid_word_starts_anew_with_the_next() -> None:
    vad, speech = VadStream(), say("Hello there, how do you do today?")
    events(speech[:8000], vad)
    assert vad.speaking
    vad.end_turn()
    assert not vad.speaking
    started = events(speech[8000:], vad)[0]
    assert isinstance(started, SpeechStarted)
    assert started.at_s == pytest.approx(0.5, abs=0.15)


def test_how_long_it_has_been_quiet() -> None:
    vad = VadStream()
    vad.feed(silence(1.0))
    assert vad.quiet_s == pytest.approx(1.0, abs=FRAME_S)
    speech = say("Hello there.")
    paused = [e for e in events(np.concatenate([speech, silence(2.0)]), vad) if isinstance(e, SpeechPaused)]
    assert vad.heard_s == pytest.approx(3.0 + len(speech) / STT_RATE_HZ)
    assert vad.quiet_s == pytest.approx(vad.heard_s - paused[-1].at_s, abs=FRAME_S)


@pytest.mark.parametrize("chunk", [1, 7, 160, 511, 512, 513, 4096, 10**9])
def test_the_events_do_not_depend_on_how_the_sound_is_cut(chunk: int) -> None:
    sound = between_silences(noisy(sample("beckett")[: 3 * STT_RATE_HZ], 20), before_s=0.5)
    assert events(sound, chunk=chunk) == events(sound, chunk=320)


@pytest.mark.parametrize("level", [-120.0, -60.0, -45.0, -30.0, -10.0])
def test_noise_is_nobody(level: float) -> None:
    assert events(hiss(20 * STT_RATE_HZ, level)) == []


@pytest.mark.parametrize("name", ["click", "slam", "beep"])
def test_short_noises_are_nobody(name: str) -> None:
    times_s = np.arange(6400) / STT_RATE_HZ
    sounds = {
        "click": np.where(times_s < 0.002, 0.9, 0.0),
        "slam": np.cumsum(hiss(6400, -30)) * np.exp(-times_s / 0.08) * 0.3,
        "beep": np.sin(2 * np.pi * 1000 * times_s) * 0.5,
    }
    sound = between_silences(np.clip(sounds[name], -1, 1).astype(np.float32), before_s=1.0)
    assert events(sound) == []


def test_short_speech_counts_only_where_that_is_wanted() -> None:
    word = say("Yes.")
    assert events(between_silences(word), VadStream(min_speech_s=1.0)) == []
    assert events(between_silences(word), VadStream(min_speech_s=0.0)) != []


def test_threshold_zero_hears_speech_in_everything() -> None:
    assert events(silence(1.0), VadStream(threshold=0.0)) == [SpeechStarted(0.0)]


def test_nothing_fed_nothing_told() -> None:
    vad = VadStream()
    assert vad.feed(silence(0)) == []
    assert (vad.heard_s, vad.quiet_s, vad.speech_s) == (0, 0, 0)


def test_samples_that_are_no_numbers_do_no_lasting_harm() -> None:
    vad = VadStream()
    vad.feed(np.full(FRAME * 4, np.nan, np.float32))
    assert any(isinstance(e, SpeechStarted) for e in events(between_silences(say("Hello there.")), vad))


# ---- what it costs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [None, -90.0, -60.0])
def test_an_idle_stream_asks_no_model(level: float | None) -> None:
    vad = VadStream()
    n_samples = 20 * STT_RATE_HZ
    events(silence(20) if level is None else hiss(n_samples, level), vad)
    assert vad.n_judged == 0


def test_a_noisy_room_is_learned_after_a_moment() -> None:
    vad = VadStream()
    events(hiss(20 * STT_RATE_HZ, -45.0), vad)
    assert vad.n_judged < 3 * STT_RATE_HZ / FRAME


@pytest.mark.parametrize("snr_db", [40, 20, 10])
@pytest.mark.parametrize("name", VOICES)
def test_the_gate_misses_no_onset(name: str, snr_db: int) -> None:
    sound = between_silences(at_level(sample(name)[: 6 * STT_RATE_HZ], -45))
    sound = sound + hiss(len(sound), -45 - snr_db)
    gated, always = VadStream(), VadStream()
    # The same detector, told that it has always just heard a voice.
    always._gate_from = 10**9  # type: ignore[attr-defined]
    first, reference = events(sound, gated)[0], events(sound, always)[0]
    assert abs(first.at_s - reference.at_s) <= 2.01 * FRAME_S
    assert gated.n_judged < always.n_judged


def test_twenty_idle_streams_cost_less_than_a_twentieth_of_a_core() -> None:
    streams = [VadStream() for _ in range(20)]
    chunk, seconds = hiss(320, -60.0), 2
    began = time.process_time()
    for _ in range(50 * seconds):
        for vad in streams:
            vad.feed(chunk)
    assert time.process_time() - began < 0.05 * seconds


def test_importing_the_detector_imports_no_engine() -> None:
    script = "import serve_apps.realtime.vad, sys; sys.exit('onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
