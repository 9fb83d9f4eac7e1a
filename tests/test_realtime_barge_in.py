"""What interrupts an answer, and what does not."""

from __future__ import annotations

import numpy as np
import pytest

from serve_apps.realtime.barge_in import LONG_S, Suspicion
from serve_apps.realtime.config import BargeIn
from serve_apps.realtime.phrases import words
from serve_apps.realtime.vad import VadStream
from tests.speech_sounds import silence

SPOKEN = "The garden is open from nine to six, and visitors may stop for a rest there."


class Voiced(VadStream):
    """A detector that says what a test wants: so much voiced, and whether it goes on."""

    def __init__(self, speech_s: float, *, speaking: bool = True) -> None:
        super().__init__()
        self._n_voiced = round(speech_s / 0.032)
        self.speaking = speaking


def judged(
    text: str, *, speech_s: float = 0.3, over: bool = False, share: float = 0.0, spoken: str = ""
) -> str:
    suspicion = Suspicion(BargeIn(), 0.0)
    assert suspicion.consider(Voiced(speech_s, speaking=not over), share) == "listen"
    verdict = suspicion.understood(text, spoken)
    return suspicion.reason if verdict == "dismiss" else verdict


def listed(texts: str) -> list[str]:
    return texts.split("|")


# ---- by words --------------------------------------------------------------------------------------

BACKCHANNELS = listed(
    "Mhmm.|Mm-hmm.|Uh-huh.|Yeah.|Yeah, yeah, yeah.|Okay.|O.K.|Right.|Oh, right, okay.|I see.|Hmm|Got it.|"
    "Oh really?|Thank you.|Ja, genau.|Ach so.|D'accord.|Ouais ouais.|Vale, claro.|Sì sì.|Tá bom.|Да, да.|"
    "嗯嗯|好的。|はい|そうですね。|うん、うん。|Haha."
)
REQUESTS = [
    "What about Sunday?",
    "Tell me more.",
    "How much is it?",
    "Excuse me.",
    "Yeah, but what else?",
    "Can you repeat?",
]


@pytest.mark.parametrize("text", BACKCHANNELS)
def test_a_listener_who_agrees_does_not_interrupt(text: str) -> None:
    assert judged(text) == "wait"
    assert judged(text, speech_s=0.8) == "wait"
    assert judged(text, over=True) == "backchannel"


@pytest.mark.parametrize(
    "text",
    ["Stop.", "stop stop", "No!", "Wait, wait.", "Hey", "Hold on.", "Halt!", "Attends", "等一下", "待って"],
)
def test_one_word_stops_the_answer(text: str) -> None:
    assert judged(text) == "interrupt"
    assert judged(text, over=True) == "interrupt"


def test_stop_is_trusted_from_the_first_transcript_on() -> None:
    assert judged("Stop", speech_s=0.2) == "interrupt"
    assert judged("No", speech_s=0.2) == "wait"  # how "okay" begins


@pytest.mark.parametrize("text", REQUESTS)
def test_how_requests_begin_interrupts_early(text: str) -> None:
    assert judged(text) == "interrupt"


@pytest.mark.parametrize("text", ["Better.", "And he came in", "the other museum please", "🙂 garden"])
def test_other_words_interrupt_once_they_have_lasted(text: str) -> None:
    assert judged(text) == "wait"
    assert judged(text, over=True) == "backchannel"
    assert judged(text, speech_s=0.61) == "interrupt"


@pytest.mark.parametrize("text", ["", "...", "🙂"])
def test_nothing_heard_is_noise(text: str) -> None:
    assert judged(text) == "wait"
    assert judged(text, over=True) == "noise"


# ---- by sound --------------------------------------------------------------------------------------


def test_a_short_burst_is_noise_once_it_is_quiet() -> None:
    suspicion = Suspicion(BargeIn(), 0.0)
    assert suspicion.consider(Voiced(0.1), 0.0) == "wait"
    assert suspicion.consider(Voiced(0.1, speaking=False), 0.0) == "dismiss"
    assert suspicion.reason == "noise"


def test_it_listens_when_it_has_lasted_then_now_and_then_and_once_at_the_end() -> None:
    suspicion, heard = Suspicion(BargeIn(), 0.0), []
    for speech_s in np.arange(0.1, 1.2, 0.032):
        if suspicion.consider(Voiced(speech_s), 0.0) == "listen":
            heard.append(round(float(speech_s), 2))
            assert suspicion.understood("yeah", "") == "wait"
    assert heard[0] == pytest.approx(0.2, abs=0.02)
    assert 5 <= len(heard) <= 8
    assert suspicion.consider(Voiced(1.2, speaking=False), 0.0) == "listen"
    assert suspicion.consider(Voiced(1.2, speaking=False), 0.0) == "wait"
    assert suspicion.understood("yeah", "") == "dismiss"


def test_a_transcript_from_before_the_end_is_not_the_last_word() -> None:
    suspicion = Suspicion(BargeIn(), 0.0)
    assert suspicion.consider(Voiced(0.2), 0.0) == "listen"
    assert suspicion.consider(Voiced(0.35, speaking=False), 0.0) == "listen"  # the first is still under way
    assert suspicion.understood("Sto", "") == "wait"
    assert suspicion.consider(Voiced(0.35, speaking=False), 0.0) == "listen"
    assert suspicion.understood("Stop.", "") == "interrupt"


def test_it_does_not_wait_for_ever_for_a_transcript() -> None:
    suspicion, vad = Suspicion(BargeIn(), 0.0), Voiced(0.4, speaking=False)
    assert suspicion.consider(vad, 0.0) == "listen"
    vad.feed(silence(1.0))
    assert suspicion.consider(vad, 0.0) == "wait"
    vad.feed(silence(1.5))
    assert suspicion.consider(vad, 0.0) == "dismiss"
    assert suspicion.reason == "noise"


def test_speech_that_goes_on_interrupts_whatever_is_heard() -> None:
    suspicion = Suspicion(BargeIn(), 0.0)
    assert suspicion.consider(Voiced(LONG_S - 0.1), 0.0) == "listen"
    assert suspicion.consider(Voiced(LONG_S), 0.0) == "interrupt"
    assert Suspicion(BargeIn(), 0.0).consider(Voiced(LONG_S), 0.6) == "listen"


def test_any_speech_interrupts_where_that_is_wanted() -> None:
    settings = BargeIn(mode="speech", min_speech_ms=300)
    assert Suspicion(settings, 0.0).consider(Voiced(0.25), 0.0) == "wait"
    assert Suspicion(settings, 0.0).consider(Voiced(0.25, speaking=False), 0.0) == "dismiss"
    assert Suspicion(settings, 0.0).consider(Voiced(0.3), 0.0) == "interrupt"
    assert Suspicion(settings, 0.0).consider(Voiced(0.3), 0.9) == "dismiss"


@pytest.mark.parametrize("speech_s", [0.0, 0.3, 10.0])
def test_nothing_interrupts_where_it_is_off(speech_s: float) -> None:
    assert Suspicion(BargeIn(mode="off"), 0.0).consider(Voiced(speech_s), 0.0) == "dismiss"


@pytest.mark.parametrize("min_speech_ms", [0, 5000])
def test_the_shortest_and_the_longest_minimum(min_speech_ms: int) -> None:
    suspicion = Suspicion(BargeIn(min_speech_ms=min_speech_ms), 0.0)
    assert suspicion.consider(Voiced(min_speech_ms / 1000), 0.0) in ("listen", "interrupt")


# ---- our own voice ---------------------------------------------------------------------------------


def test_the_answer_s_own_sound_is_dismissed_unless_the_guard_is_off() -> None:
    suspicion = Suspicion(BargeIn(), 0.0)
    assert suspicion.consider(Voiced(0.1), 0.9) == "dismiss"
    assert suspicion.reason == "echo"
    assert Suspicion(BargeIn(echo_guard=False), 0.0).consider(Voiced(0.3), 0.9) == "listen"


@pytest.mark.parametrize(
    "text", ["the garden is open", "open from nine", "Visitors may stop for", "gardens is open from mine"]
)
def test_the_answer_s_words_are_its_echo(text: str) -> None:
    assert judged(text, share=0.5, spoken=SPOKEN) == "echo"
    assert judged(text, share=0.0, spoken=SPOKEN) == "echo"  # as a canceller leaves it


@pytest.mark.parametrize("text", ["stop there is", "what about the garden", "is the garden far from here"])
def test_words_in_another_order_are_the_user_s(text: str) -> None:
    assert judged(text, speech_s=0.7, share=0.5, spoken=SPOKEN) == "interrupt"


def test_one_word_of_the_answer_s_is_its_echo_only_if_it_sounds_so() -> None:
    assert judged("stop", share=0.5, spoken=SPOKEN) == "echo"
    assert judged("stop", share=0.1, spoken=SPOKEN) == "interrupt"


def test_under_a_loud_echo_it_takes_more_than_a_word() -> None:
    assert judged("No.", share=0.55, spoken=SPOKEN) == "wait"
    assert judged("No.", share=0.55, speech_s=0.7, spoken=SPOKEN) == "wait"
    assert judged("no, the other one", share=0.55, speech_s=0.7, spoken=SPOKEN) == "interrupt"


# ---- recognisers' spellings ------------------------------------------------------------------------


def test_words_are_compared_without_marks_and_case() -> None:
    assert words("Ça va? It\u2019s O.K. — 12,5 % 好的!") == [
        "ça",
        "va",
        "it's",
        "o",
        "k",
        "12",
        "5",
        "好",
        "的",
    ]
