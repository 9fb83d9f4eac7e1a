from __future__ import annotations

import numpy as np
import pytest

from serve_apps.engines.sentences import segments
from serve_apps.wire import STT_RATE_HZ, Samples, Word


def bursts(*lengths_s: float, pause_s: float = 0.5) -> Samples:
    """Noise of these lengths, with pauses between them."""
    noise = np.random.default_rng(0)
    pause = np.zeros(int(pause_s * STT_RATE_HZ))
    parts = [p for s in lengths_s for p in (noise.standard_normal(int(s * STT_RATE_HZ)) * 0.1, pause)]
    return np.concatenate(parts[:-1]).astype(np.float32)


def test_no_text_no_segments() -> None:
    assert segments("", bursts(1.0)) == []
    assert segments("  \n ", bursts(1.0)) == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ('He said "No." Then he left.', ['He said "No."', "Then he left."]),
        ("Mr. Smith met Dr. Jones. They spoke.", ["Mr. Smith met Dr. Jones.", "They spoke."]),
        ("It costs 3.50 in all.", ["It costs 3.50 in all."]),
        ("...", ["..."]),
    ],
)
def test_text_is_split_into_sentences(text: str, parts: list[str]) -> None:
    assert [s.text for s in segments(text, bursts(3.0))] == parts


def test_sentences_end_at_pauses() -> None:
    first, second, third = segments("Hello there, all of you. Yes. And goodbye then.", bursts(2.0, 0.5, 1.5))
    assert (first.start_s, first.end_s) == pytest.approx((0.0, 2.0), abs=0.05)
    assert (second.start_s, second.end_s) == pytest.approx((2.5, 3.0), abs=0.05)
    assert (third.start_s, third.end_s) == pytest.approx((3.5, 5.0), abs=0.05)


@pytest.mark.parametrize("samples", [np.zeros(STT_RATE_HZ, np.float32), np.ones(STT_RATE_HZ, np.float32)])
def test_times_grow_even_without_a_pause(samples: Samples) -> None:
    found = segments("One. Two. Three.", samples)
    times = [t for s in found for t in (s.start_s, s.end_s)]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(1.0, abs=0.03)


def test_words_decide_when_there_are_any() -> None:
    words = tuple(Word(text=t, start_s=i, end_s=i + 0.5) for i, t in enumerate(["A", "b.", "C", "d."]))
    first, second = segments("A b. C d.", bursts(5.0), words)
    assert (first.start_s, first.end_s, first.words) == (0, 1.5, words[:2])
    assert (second.start_s, second.end_s, second.words) == (2, 3.5, words[2:])
