"""How much of what the microphone hears is the answer, through rooms, noise and other voices."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pytest

from serve_apps.realtime.barge_in import MIXED, OWN_VOICE, STRANGER
from serve_apps.realtime.echo import MAX_DELAY_S, WINDOW_S, echo_share
from serve_apps.wire import STT_RATE_HZ, Samples
from tests.speech_sounds import (
    ANSWER,
    at_level,
    clipped,
    delayed,
    hiss,
    in_room,
    level_db,
    noisy,
    sample,
    say,
)

WINDOW = int(WINDOW_S * STT_RATE_HZ)
REFERENCE = WINDOW + int(MAX_DELAY_S * STT_RATE_HZ)
ROOMS: dict[str, Callable[[Samples], Samples]] = {
    "headset cable": lambda samples: samples,
    "desk": in_room,
    "living room": lambda samples: in_room(samples, reverb_s=0.4, direct_to_reverb_db=0.0),
    "far away": lambda samples: in_room(samples, reverb_s=0.4, direct_to_reverb_db=-3.0),
    "turned up too far": lambda samples: in_room(clipped(samples, 0.3)),
}


@cache
def answers() -> tuple[Samples, ...]:
    return (
        sample("announcement"),
        sample("two_cities")[20_000:300_000],
        say(ANSWER),
        say(ANSWER, "en-gb+f3"),
    )


@cache
def users() -> tuple[Samples, ...]:
    question = "Excuse me, I would like to know something else about the trains to the city, please."
    return (sample("beckett"), say(question, "en-us+f2"), say(question, "en-gb+m3"), sample("question"))


def windows(heard: Samples, played: Samples) -> Iterator[float]:
    """The share over a whole recording, where it is loud enough to be speech."""
    for end in range(REFERENCE, len(heard), WINDOW // 2):
        part = heard[end - WINDOW : end]
        if level_db(part) > level_db(heard) - 6:
            yield echo_share(part, played[end - REFERENCE : end])


def shares(room: str, *, user_db: float | None = None, answer_is_heard: bool = True) -> list[float]:
    """Many windows: answers 6 to 30 dB softer, 0 to 0.4 s late, noise at 15 dB, with or without a user."""
    found: list[float] = []
    for i, answer in enumerate(answers()):
        heard = delayed(ROOMS[room](answer), 0.4 * i / 3) * np.float32(10 ** (-(6 + 8 * i) / 20))
        if user_db is not None:
            user = np.resize(np.concatenate([users()[i], users()[(i + 1) % 4]]), len(heard))
            user = at_level(user, level_db(heard) + user_db)
            heard = heard + user if answer_is_heard else user
        found += windows(noisy(heard, 15), answer)
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_the_answer_alone_is_known(room: str) -> None:
    found = shares(room)
    assert len(found) > 100
    assert np.percentile(found, 20) > OWN_VOICE
    assert np.percentile(found, 3) > MIXED
    assert np.median(found) > 0.82


@pytest.mark.parametrize("room", ROOMS)
def test_another_voice_is_not_the_answer(room: str) -> None:
    found = shares(room, user_db=0.0, answer_is_heard=False)
    assert np.median(found) < 0.1
    assert np.percentile(found, 90) < STRANGER
    assert np.percentile(found, 98) < MIXED


@pytest.mark.parametrize("room", ROOMS)
def test_a_voice_over_the_answer_lowers_the_share(room: str) -> None:
    as_loud, louder = shares(room, user_db=0.0), shares(room, user_db=6.0)
    assert 0.3 < np.median(as_loud) < OWN_VOICE
    assert 0.1 < np.median(louder) < MIXED
    assert np.median(louder) < np.median(as_loud) - 0.1


@pytest.mark.parametrize("delay_s", [0.0, 0.001, 0.1234, 0.4, MAX_DELAY_S])
@pytest.mark.parametrize("duration_s", [0.2, WINDOW_S, 1.0])
def test_any_delay_and_length(delay_s: float, duration_s: float) -> None:
    answer = sample("announcement")
    heard = 0.1 * delayed(answer, delay_s)
    end = 5 * STT_RATE_HZ
    start = end - int(duration_s * STT_RATE_HZ)
    played = answer[start - int(MAX_DELAY_S * STT_RATE_HZ) : end]
    assert echo_share(heard[start:end], played) > 0.9
    assert echo_share(-heard[start:end], played) > 0.9


def test_the_beginning_of_an_answer_is_known_too() -> None:
    answer = sample("announcement")
    assert echo_share(0.2 * answer[:WINDOW], answer[:WINDOW]) > 0.9
    longer = np.concatenate([sample("two_cities")[:REFERENCE], answer[: 2 * WINDOW]])
    assert echo_share(0.2 * answer[WINDOW : 2 * WINDOW], longer) > 0.9


@pytest.mark.parametrize("n_samples", [0, 1, 511])
def test_too_short_to_tell(n_samples: int) -> None:
    assert echo_share(hiss(n_samples, -20), hiss(REFERENCE, -20)) == 0


def test_silence_is_no_echo_and_has_none() -> None:
    quiet, loud = np.zeros(REFERENCE, np.float32), hiss(REFERENCE, -20)
    assert echo_share(quiet[:WINDOW], loud) == 0
    assert echo_share(loud[:WINDOW], quiet) == 0
    assert echo_share(loud[:WINDOW], quiet[:0]) == 0


@pytest.mark.parametrize("kind", ["noise", "hum", "constant", "click", "not a number"])
def test_other_sounds_are_no_echo(kind: str) -> None:
    times_s = np.arange(WINDOW) / STT_RATE_HZ
    sound = {
        "noise": hiss(WINDOW, -20, seed=1),
        "hum": np.sin(2 * np.pi * 100 * times_s),
        "constant": np.full(WINDOW, 0.5),
        "click": np.eye(1, WINDOW, 3000)[0],
        "not a number": np.full(WINDOW, np.nan),
    }[kind].astype(np.float32)
    answer = sample("announcement")
    share = echo_share(sound, answer[20_000 : 20_000 + REFERENCE])
    assert 0 <= share < MIXED


def test_it_is_cheap_enough_for_the_event_loop() -> None:
    answer = sample("announcement")
    heard, played = answer[20_000 : 20_000 + 8_000], answer[12_000:28_000]
    began = time.process_time()
    for _ in range(50):
        echo_share(heard, played)
    assert (time.process_time() - began) / 50 < 0.003
