from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from serve_apps import media
from serve_apps.settings import ASSETS
from serve_apps.wire import Samples

pytest.importorskip("pocketsphinx", reason="no wheel for this Python")

from serve_apps.engines.pronunciation import letters_to_phones, number_words
from serve_apps.engines.word_alignment import WordAligner, spoken

TEXT = (
    "Good morning. This is a short recording for you to try. The meeting is on Tuesday at 10, in the large "
    "room on the second floor. Please bring the report, and your questions. Lunch will be served afterwards. "
    "Thank you."
)


@pytest.fixture(scope="module")
def aligner() -> WordAligner:
    return WordAligner()


@pytest.fixture(scope="module")
def speech() -> Samples:
    return media.read(ASSETS / "samples" / "announcement.ogg").samples


def test_every_written_word_gets_its_times(aligner: WordAligner, speech: Samples) -> None:
    words = aligner.align(TEXT, speech)
    assert [w.text for w in words] == TEXT.split()
    times = [t for w in words for t in (w.start_s, w.end_s)]
    assert times == sorted(times)
    assert times[0] < 0.5
    assert times[-1] > len(speech) / 16_000 - 1
    assert all(w.end_s - w.start_s < 1.5 for w in words)


def test_words_that_no_dictionary_has(aligner: WordAligner, speech: Samples) -> None:
    strange = TEXT.replace("meeting", "meeteeng").replace("report", "rëport")
    words = aligner.align(strange, speech)
    plain = {w.text: w for w in aligner.align(TEXT, speech)}
    found = {w.text: w for w in words}
    assert found["meeteeng"].start_s == pytest.approx(plain["meeting"].start_s, abs=0.3)


def test_marks_without_a_sound_have_no_length(aligner: WordAligner, speech: Samples) -> None:
    words = aligner.align(TEXT.replace("Tuesday at", "Tuesday - at"), speech)
    dash = next(w for w in words if w.text == "-")
    assert dash.start_s == dash.end_s > 0


@pytest.mark.parametrize(
    "text", ["", "...", "completely different words that nobody has spoken here at all " * 9]
)
def test_a_text_that_does_not_fit_has_no_times(aligner: WordAligner, speech: Samples, text: str) -> None:
    assert aligner.align(text, speech[:16_000]) == ()


def test_no_sound_no_times(aligner: WordAligner) -> None:
    assert aligner.align("hello", np.zeros(0, np.float32)) == ()


def test_after_a_failure_the_next_text_is_aligned(aligner: WordAligner, speech: Samples) -> None:
    aligner.align("nothing of this was said " * 50, speech[:8_000])
    assert aligner.align(TEXT, speech)


def test_threads_share_one_aligner(aligner: WordAligner, speech: Samples) -> None:
    expected = aligner.align(TEXT, speech)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: aligner.align(TEXT, speech), range(8))) == {expected}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("$1,500", ["one", "thousand", "five", "hundred", "dollars"]),
        ("3.5%", ["three", "point", "five", "percent"]),
        ("R\u2019n\u2019B,", ["r'n'b"]),
        ("well-known", ["well", "known"]),
        ("--", []),
    ],
)
def test_written_words_as_they_are_said(written: str, said: list[str]) -> None:
    assert spoken(written) == said


@pytest.mark.parametrize(
    ("digits", "words"),
    [
        ("0", "zero"),
        ("007", "zero zero seven"),
        ("19", "nineteen"),
        ("45", "forty five"),
        ("100", "one hundred"),
        ("1905", "nineteen oh five"),
        ("1984", "nineteen eighty four"),
        ("2000", "two thousand"),
        ("12345", "twelve thousand three hundred forty five"),
        ("1234567890123", "one two three four five six seven eight nine zero one two three"),
    ],
)
def test_numbers_as_they_are_read(digits: str, words: str) -> None:
    assert " ".join(number_words(digits)) == words


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("ship", "SH IH P"),
        ("note", "N AA T"),
        ("bell", "B EH L"),
        ("née", "N IY"),
        ("東京", "AH"),
        ("e", "EH"),
    ],
)
def test_spelling_to_sound(word: str, phones: str) -> None:
    assert letters_to_phones(word) == phones
