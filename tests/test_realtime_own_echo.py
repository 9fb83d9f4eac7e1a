"""Whole scenes: the answer comes out of the loudspeaker and back into the microphone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

import numpy as np
import pytest

from serve_apps.realtime.barge_in import Suspicion
from serve_apps.realtime.config import BargeIn
from serve_apps.realtime.echo import MAX_DELAY_S, WINDOW_S, echo_share
from serve_apps.realtime.vad import SpeechStarted, VadStream
from serve_apps.wire import STT_RATE_HZ, Samples
from tests.speech_sounds import ANSWER, at_level, delayed, hiss, in_room, level_db, sample, say, silence

CHUNK = 320
WORD_S = 0.35


@cache
def vocabulary(seed: int) -> list[str]:
    letters = np.random.default_rng(seed).integers(ord("a"), ord("z") + 1, (400, 6), dtype=np.uint8)
    return [bytes(word).decode() for word in letters]


def said(seed: int, from_s: float, to_s: float) -> str:
    """A stand-in for a transcript: one made-up word for each 0.35 s of a speaker."""
    return " ".join(vocabulary(seed)[max(0, round(from_s / WORD_S)) : max(0, round(to_s / WORD_S))])


@dataclass
class Scene:
    """A microphone that hears an answer of ours, and perhaps a user; and what is made of it."""

    heard: Samples
    answer: Samples
    delay_s: float
    user_at_s: float = 1e9
    interrupted_s: float | None = None
    dismissed: list[str] = field(default_factory=list)

    def play(self) -> Scene:
        vad, suspicion = VadStream(), None
        share, share_until = 0.0, 0
        for end in range(CHUNK, len(self.heard) + 1, CHUNK):
            started = [e for e in vad.feed(self.heard[end - CHUNK : end]) if isinstance(e, SpeechStarted)]
            suspicion = suspicion or (Suspicion(BargeIn(), started[0].at_s) if started else None)
            if suspicion is None:
                continue
            if end - share_until >= STT_RATE_HZ // 10:
                share, share_until = self._share(end), end
            verdict = self._judge(suspicion, vad, share, end / STT_RATE_HZ)
            if verdict == "interrupt":
                self.interrupted_s = end / STT_RATE_HZ
                break
            if verdict == "dismiss":
                self.dismissed.append(suspicion.reason)
                suspicion = None
                vad.end_turn()
        return self

    def _share(self, end: int) -> float:
        start = max(0, end - int(WINDOW_S * STT_RATE_HZ))
        before = max(0, start - int(MAX_DELAY_S * STT_RATE_HZ))
        return echo_share(self.heard[start:end], self.answer[before:end])

    def _judge(self, suspicion: Suspicion, vad: VadStream, share: float, now_s: float) -> str:
        step = suspicion.consider(vad, share)
        if step != "listen":
            return step
        if now_s - self.user_at_s > 0.2:
            text = said(2, 0, now_s - self.user_at_s)
        else:
            text = said(1, suspicion.started_s - self.delay_s, now_s - self.delay_s)
        return suspicion.understood(text, said(1, now_s - 8, now_s + 0.5))


ANSWERS: dict[str, Callable[[], Samples]] = {
    "a woman reads": lambda: sample("announcement"),
    "a man reads": lambda: sample("two_cities"),
    "espeak": lambda: say(ANSWER),
    "espeak, a woman": lambda: say(ANSWER, "en-gb+f3"),
}


def fed_back(
    answer: Samples, attenuation_db: float, delay_s: float, room: Literal["none", "desk", "hall"]
) -> Samples:
    """The answer as the microphone hears it, in a room with some noise."""
    through = {
        "none": answer,
        "desk": in_room(answer),
        "hall": in_room(answer, reverb_s=0.4, direct_to_reverb_db=0.0),
    }[room]
    heard = delayed(through, delay_s) * np.float32(10 ** (-attenuation_db / 20))
    return heard + hiss(len(heard), level_db(heard) - 20)


@pytest.mark.parametrize(
    ("attenuation_db", "delay_s", "room"), [(6, 0.04, "none"), (12, 0.15, "desk"), (24, 0.35, "hall")]
)
@pytest.mark.parametrize("voice", ANSWERS)
def test_the_answer_fed_back_never_interrupts_itself(
    voice: str, attenuation_db: float, delay_s: float, room: Literal["none", "desk", "hall"]
) -> None:
    answer = np.concatenate([ANSWERS[voice](), silence(1.0)])
    scene = Scene(fed_back(answer, attenuation_db, delay_s, room), answer, delay_s).play()
    assert scene.interrupted_s is None
    assert scene.dismissed.count("echo") > 0.9 * len(scene.dismissed) > 0


@pytest.mark.parametrize("louder_db", [0, 6])
@pytest.mark.parametrize("voice", ANSWERS)
def test_a_user_who_talks_over_the_echo_gets_through(voice: str, louder_db: float) -> None:
    """Within a second of the first sound: the transcripts here say nothing that is clear at once."""
    answer = ANSWERS[voice]()
    heard = fed_back(answer, 12, 0.15, "desk")
    request = say("I would rather hear about the other museum, the one by the river.", "en-us+f2")
    request = at_level(request, level_db(heard) + louder_db)
    for at_s in (2.0, 4.0, 7.0):
        mixed, at = heard.copy(), int(at_s * STT_RATE_HZ)
        mixed[at : at + len(request)] += request[: len(mixed) - at]
        scene = Scene(mixed, answer, 0.15, user_at_s=at_s).play()
        assert scene.interrupted_s is not None
        assert at_s < scene.interrupted_s < at_s + 1.2
