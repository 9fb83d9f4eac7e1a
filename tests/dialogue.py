"""A recorded dialogue, and its words: what a person says to Raydio, and when.

Said by espeak-ng in a voice that Raydio does not answer in, in sentences that Moonshine understands word for
word. Two questions, the second with a pause in its middle; then an interruption of the second answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from serve_apps.args import TtsArgs
from serve_apps.engines.espeak import EspeakTts
from serve_apps.media import encode
from serve_apps.samples import resample
from serve_apps.wire import Audio, Samples, SpeakRequest

VOICE, SPEED = "en-us+f2", 0.9
PAUSE_S = 0.8
"""Longer than the silence that ends a finished sentence at `server_vad`'s default."""
MICROPHONE_RATE_HZ = 48_000
"""What Chromium's fake microphone expects of its file."""
ROOM_NOISE = 3e-4
"""Amplitude of the room's own noise (-70 dB): no microphone hears nothing at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """One turn of the person's."""

    at_s: float
    parts: tuple[str, ...]
    """Said with `PAUSE_S` between them."""

    @property
    def text(self) -> str:
        """All that is said."""
        return " ".join(self.parts)


FIRST = Utterance(at_s=1.0, parts=("What is the capital of France?",))
SECOND = Utterance(at_s=11.0, parts=("I am going to London, and", "I would like to know what to see."))
INTERRUPTION = Utterance(at_s=23.0, parts=("Wait, tell me about Paris instead.",))
DIALOGUE = (FIRST, SECOND, INTERRUPTION)
LENGTH_S = 60.0
"""Silence follows the last words: the last answer is not to be interrupted by the end of the file."""

FIRST_ANSWER = "The capital of France is Paris. It lies on the river Seine."
SECOND_ANSWER = (
    "Most of the great museums in London are free, so begin at the British Museum, where old stones from "
    "Egypt and Greece stand under a great roof of glass. "
    "Have a cup of tea in the court, and watch the people come and go. "
    "Then walk to Covent Garden, where there is a market, and somebody always sings. "
    "After lunch, take the train to South Kensington, for the bones of the whale in the hall of the Natural "
    "History Museum. "
    "Next door you can see the first engines that ran on steam, and touch some of them. "
    "If you would rather shop, the long arcades near Piccadilly have kept people dry for two hundred years. "
    "In the evening go to a small theatre, because there is always one with a seat left. "
    "Finish the day in an old pub beside the river, with a window, and watch the lights on the water."
)
LAST_ANSWER = "With pleasure. Paris is lovely in the spring."
ANSWERS = {"capital of France": FIRST_ANSWER, "going to London": SECOND_ANSWER, "Paris instead": LAST_ANSWER}
"""What `tests.serve.engines.ScriptedLlm` answers to a message that contains the key."""


@cache
def say(text: str, rate_hz: int, *, voice: str = VOICE, speed: float = SPEED) -> Samples:
    """Speech without silence around it."""
    engine = EspeakTts(TtsArgs())
    request = SpeakRequest(text=text, voice=voice, speed=speed)
    pieces = [piece.samples for piece in engine.speak(request)]
    loud = np.flatnonzero(np.abs(whole := np.concatenate(pieces)) > 1e-3)
    return resample(whole[loud[0] : loud[-1] + 1], engine.rate_hz, rate_hz)


def utter(utterance: Utterance, rate_hz: int) -> Samples:
    """An utterance with its pauses."""
    pause = np.zeros(round(PAUSE_S * rate_hz), np.float32)
    pieces = [piece for part in utterance.parts for piece in (pause, say(part, rate_hz))]
    return np.concatenate(pieces[1:])


def recorded(
    utterances: Sequence[Utterance] = DIALOGUE, rate_hz: int = MICROPHONE_RATE_HZ, length_s: float = LENGTH_S
) -> Audio:
    """The dialogue as a microphone hears it."""
    noise = np.random.default_rng(3).normal(0, ROOM_NOISE, round(length_s * rate_hz))
    samples = noise.astype(np.float32)
    for utterance in utterances:
        said = utter(utterance, rate_hz)
        start = round(utterance.at_s * rate_hz)
        samples[start : start + len(said)] += said
    return Audio(samples=samples, rate_hz=rate_hz)


def microphone(file: Path) -> tuple[str, ...]:
    """Write the dialogue to `file`; Chromium's flags for a microphone that plays it when it is opened."""
    file.write_bytes(encode(recorded(), "wav"))
    return (
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={file}%noloop",
    )


def word_errors(heard: str, known: str) -> float:
    """The word error rate: insertions, deletions and substitutions over the known words."""
    reference, hypothesis = _words(known), _words(heard)
    row = np.arange(len(hypothesis) + 1)
    for i, word in enumerate(reference, 1):
        other = np.array([word != wrote for wrote in hypothesis], int)
        best = np.minimum(row[:-1] + other, row[1:] + 1)
        row = np.concatenate([[i], best])
        # An insertion costs one more than the cell to its left: a running minimum without the slope.
        row = np.minimum.accumulate(row - np.arange(len(row))) + np.arange(len(row))
    return float(row[-1]) / len(reference)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
