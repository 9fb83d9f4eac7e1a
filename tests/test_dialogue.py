"""The recorded dialogue that the voice tests play: its words, as the recogniser hears them, and the ruler."""

from __future__ import annotations

import numpy as np
import pytest

from serve_apps.args import SttArgs
from serve_apps.engines.moonshine import MoonshineStt
from serve_apps.wire import STT_RATE_HZ, SttOptions
from tests.dialogue import DIALOGUE, MICROPHONE_RATE_HZ, recorded, utter, word_errors


@pytest.mark.parametrize(
    ("heard", "known", "rate"),
    [
        ("Wait, tell me!", "wait tell me", 0.0),
        ("wait tell me more", "wait tell me", 1 / 3),
        ("tell me", "wait tell me", 1 / 3),
        ("tell you wait", "wait tell me", 1.0),
        ("", "wait tell me", 1.0),
        ("b c d e", "a b c d", 0.5),
    ],
)
def test_word_errors_are_counted(heard: str, known: str, rate: float) -> None:
    assert word_errors(heard, known) == pytest.approx(rate)


def test_every_utterance_is_understood() -> None:
    """What a live session does with it can be judged by its words only then."""
    stt = MoonshineStt(SttArgs(align_words=False))
    quiet = np.zeros(STT_RATE_HZ // 3, np.float32)
    for utterance in DIALOGUE:
        samples = np.concatenate([quiet, utter(utterance, STT_RATE_HZ), quiet])
        heard = " ".join(segment.text for segment in stt.transcribe(samples, SttOptions()))
        assert word_errors(heard, utterance.text) == 0, heard
    stt.close()


def test_it_is_said_when_the_file_says() -> None:
    audio = recorded()
    loud = np.abs(audio.samples) > 0.02
    for utterance in DIALOGUE:
        start = round(utterance.at_s * MICROPHONE_RATE_HZ)
        assert not loud[start - MICROPHONE_RATE_HZ : start].any()
        assert loud[start : start + MICROPHONE_RATE_HZ // 10].any()
