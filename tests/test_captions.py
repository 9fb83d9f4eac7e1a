"""When each word that is shown is heard: alignment, estimates, every script, anything at all."""

from __future__ import annotations

import random
import time
import unicodedata
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from serve_apps.args import TtsArgs
from serve_apps.engines.espeak import EspeakTts
from serve_apps.realtime.captions import CaptionWord, caption_words, estimated_s
from serve_apps.speech_text import clauses, spoken
from serve_apps.wire import SpeakRequest, Word

STORY = (
    "The kettle had just begun to whistle when somebody knocked at the door. Nobody was expected, and "
    "the dog, who usually barked at everything, stayed quiet under the table. I opened it slowly; "
    "outside stood a woman with a yellow umbrella, although it had not rained for weeks. She asked "
    "whether this was the house with the old piano. It was, I said, but nobody had played it since my "
    "grandfather died. She smiled. To make the dough, mix flour, water, salt and a little yeast, then "
    "let it rest for two hours. Most of the heat escapes through the roof, so insulation there pays for "
    "itself quickly. You can restart the router by holding the small button at the back; wait until the "
    "lights blink. Elephants communicate over long distances with sounds too low for us to hear. Sure! "
    "Here is a short summary. First, check the battery."
)


@pytest.fixture(scope="module")
def engine() -> EspeakTts:
    return EspeakTts(TtsArgs())


def said(engine: EspeakTts, text: str, voice: str = "en-us") -> tuple[tuple[Word, ...], float]:
    """The engine's marks of a text, and how long it takes."""
    marks: list[Word] = []
    at_s = 0.0
    for piece in engine.speak(SpeakRequest(text=text, voice=voice)):
        marks += [replace(w, start_s=w.start_s + at_s, end_s=w.end_s + at_s) for w in piece.words]
        at_s += piece.duration_s
    return tuple(marks), at_s


def mark(text: str, start_s: float) -> Word:
    return Word(text=text, start_s=start_s, end_s=start_s + 0.1)


def texts(words: tuple[CaptionWord, ...]) -> list[str]:
    return [word.text for word in words]


def shown_words(shown: str) -> list[str]:
    return texts(caption_words(shown, spoken(shown), (), 1.0))


def check(words: tuple[CaptionWord, ...], shown: str, duration_s: float) -> None:
    """What must hold whatever the text is."""
    times_s = [t for word in words for t in (word.start_s, word.end_s)]
    assert all(a <= b + 1e-9 for a, b in pairwise([0.0, *times_s, duration_s]))
    ends = [word.shown_end for word in words]
    assert all(a < b for a, b in pairwise([0, *ends]))
    assert all(word.text for word in words)
    if words:
        assert ends[-1] == len(shown)


# ---- what a word is


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (" Hello, world!", ["Hello,", "world!"]),
        ("- **Well**, it's _3.14_ now.", ["Well,", "it's", "3.14", "now."]),
        ("## A `title`\n", ["A", "title"]),
        ("See [the docs, now](http://x.y/z) here", ["See", "the", "docs,", "now", "here"]),
        ("At https://www.example.com/a/b. Go", ["At", "https://www.example.com/a/b.", "Go"]),
        ("yes — no", ["yes —", "no"]),
        ("salt & pepper, 5 % off", ["salt", "&", "pepper,", "5", "%", "off"]),
        ("| one | two |", ["one", "two"]),
        ('He said "no" (twice)', ["He", "said", '"no"', "(twice)"]),
        ("Great 😀 idea 👨‍👩‍👧", ["Great 😀", "idea 👨‍👩‍👧"]),
        ("مرحبا، كيف حالك؟", ["مرحبا،", "كيف", "حالك؟"]),
        ("नमस्ते, आज", ["नमस्ते,", "आज"]),
        ("안녕하세요 여러분", ["안녕하세요", "여러분"]),
        ("今日は良い天気ですね。", ["今日は", "良い", "天気です", "ね。"]),
        ("「散歩に行く。」", ["「散歩に", "行く。」"]),
        ("使用Python编程", ["使用", "Python", "编程"]),
        ("เขาไปทะเลกับเพื่อน", ["เขาไปทะเล", "กับเพื่อ", "น"]),
    ],
)
def test_words_are_shown_without_markup_and_with_their_marks(shown: str, words: list[str]) -> None:
    assert shown_words(shown) == words


@pytest.mark.parametrize("shown", ["", " ", "\n", "😀", "---", "?!", "**", "|---|"])
def test_nothing_said_is_no_words(shown: str) -> None:
    assert caption_words(shown, spoken(shown), (mark("a", 0.1),), 1.0) == ()


def test_code_that_is_not_said_has_no_words() -> None:
    assert caption_words("```\nx = 1\n```\n", "", (), 0.0) == ()


def test_a_prefix_of_what_is_shown_ends_with_each_word() -> None:
    shown = " **Well**, see [this](http://x.y) 😀 now.\n"
    words = caption_words(shown, spoken(shown), (), 2.0)
    assert [shown[: word.shown_end] for word in words] == [
        " **Well**,",
        " **Well**, see",
        " **Well**, see [this](http://x.y) 😀",
        shown,
    ]


# ---- times


def test_the_engines_times_are_taken() -> None:
    marks = (mark("Well", 0.1), mark("this", 0.5), mark("works", 0.8))
    words = caption_words("**Well**, this `works`.", "Well, this works.", marks, 1.5)
    assert [word.start_s for word in words] == [0.1, 0.5, 0.8]
    assert all(a.end_s <= b.start_s for a, b in pairwise(words))
    assert words[0].end_s < 0.4  # the comma's pause is nobody's
    assert 1.0 < words[2].end_s < 1.5


def test_a_word_said_otherwise_lies_between_its_neighbours() -> None:
    marks = (mark("At", 0.0), mark("example", 0.4), mark("com", 1.2), mark("now", 1.8))
    shown = "At https://www.example.com/a/b now"
    words = caption_words(shown, spoken(shown), marks, 2.2)
    assert [word.start_s for word in words] == [0.0, 0.4, 1.8]


def test_marks_finer_or_coarser_than_words() -> None:
    finer = (mark("well", 0.0), mark("known", 0.3), mark("fact", 0.7))
    assert [w.start_s for w in caption_words("well-known fact", "well-known fact", finer, 1)] == [0.0, 0.7]
    coarser = (mark("well-known fact", 0.0), mark("is", 1.0))
    words = caption_words("well-known fact is", "well-known fact is", coarser, 1.2)
    assert texts(words) == ["well-known", "fact", "is"]
    assert 0.3 < words[1].start_s < 0.9
    assert words[2].start_s == 1.0


def test_missing_marks_are_filled_in_and_the_known_ones_kept() -> None:
    words = caption_words("one two three four", "one two three four", (mark("three", 1.0),), 2.0)
    assert words[2].start_s == 1.0
    assert 0.3 < words[1].start_s < 0.7


def test_the_beginning_of_a_clause_may_be_known_alone() -> None:
    words = caption_words("one two three four", "one two three four", (mark("one", 0), mark("two", 0.4)), 2.0)
    assert [w.start_s for w in words][:2] == [0, 0.4]
    assert words[3].start_s == pytest.approx(0.4 + 1.6 * 8 / 12, abs=0.15)


@pytest.mark.parametrize(
    "marks",
    [
        (mark("two", 5.0), mark("three", -1.0)),
        (mark("elsewhere", 0.5),),
        (mark("", 0.1), mark("?", 0.2), mark("😀", 0.3)),
        tuple(mark("one", t) for t in (0.9, 0.1, 0.5)),
    ],
)
def test_absurd_marks_do_no_harm(marks: tuple[Word, ...]) -> None:
    check(caption_words("one two three", "one two three", marks, 1.0), "one two three", 1.0)


def test_what_is_said_may_be_something_else_entirely() -> None:
    words = caption_words("Rs. 5", "five rupees please", (mark("five", 0.0), mark("rupees", 0.5)), 1.5)
    assert texts(words) == ["Rs.", "5"]
    check(words, "Rs. 5", 1.5)


def test_a_long_number_takes_longer_than_a_short_word() -> None:
    number, word = caption_words("2024 is", "2024 is", (), 2.0)
    assert number.end_s - number.start_s > 3 * (word.end_s - word.start_s)


def test_nothing_lasts_no_time() -> None:
    for duration_s in (0.0, -1.0):
        words = caption_words("one two", "one two", (mark("two", 0.5),), duration_s)
        assert [(w.start_s, w.end_s) for w in words] == [(0, 0), (0, 0)]
    assert estimated_s("") == estimated_s("?! 😀") == 0


# ---- beside a real engine


def test_espeaks_words_begin_where_it_says(engine: EspeakTts) -> None:
    marks, duration_s = said(engine, "Well, this is 3.14, or see example.com.")
    words = caption_words(
        "Well, this is **3.14**, or see https://example.com.",
        "Well, this is 3.14, or see example.com.",
        marks,
        duration_s,
    )
    heard = {m.text: m.start_s for m in marks}
    assert [w.start_s for w in words] == [
        heard[text] for text in ("Well", "this", "is", "3.14", "or", "see", "example")
    ]


def test_an_estimate_is_close_to_the_engines_times(engine: EspeakTts) -> None:
    """Measured: a mean of 62 ms with the clause's length known, 102 ms without."""
    known, unknown, lengths = [], [], []
    for clause in clauses(STORY):
        marks, duration_s = said(engine, clause.spoken)
        true = caption_words(clause.shown, clause.spoken, marks, duration_s)
        expected_s = estimated_s(clause.spoken)
        lengths.append(abs(expected_s - duration_s) / duration_s)
        for errors, length_s in ((known, duration_s), (unknown, expected_s)):
            guessed = caption_words(clause.shown, clause.spoken, (), length_s)
            errors += [abs(a.start_s - b.start_s) for a, b in zip(true, guessed, strict=True)]
    assert len(known) > 120
    assert np.mean(known) < 0.09
    assert np.percentile(known, 95) < 0.25
    assert np.mean(unknown) < 0.15
    assert np.mean(lengths) < 0.1


@pytest.mark.parametrize(
    ("text", "voice"),
    [
        ("今天天气很好。", "cmn"),
        ("สวัสดีครับ ผมชื่อสมชาย", "th"),
        ("今日は良い天気ですね。", "ja"),
        ("مرحبا، كيف حالك؟", "ar"),
    ],
)
def test_other_scripts_beside_the_engine(engine: EspeakTts, text: str, voice: str) -> None:
    marks, duration_s = said(engine, text, voice)
    words = caption_words(text, text, marks, duration_s)
    check(words, text, duration_s)
    assert len(words) >= 3
    assert max(word.end_s - word.start_s for word in words) < 0.6 * duration_s


# ---- anything


@pytest.mark.parametrize("seed", range(40))
def test_anything_gives_ordered_words_that_cover_the_text(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 (a test's noise)
    alphabet = (
        "abcdefg hij  .,;:!?-–—*_`[]()#|<>&%/@'\"\n\t0123456789éüßñ"
        "今日は良いกำลังไป안녕مرحباשלוםनमस्ते😀👩🏽\u200d🚀\u0301\ufe0f。、"
    )
    shown = "".join(rng.choice(alphabet) for _ in range(rng.randint(0, 300)))
    for clause in clauses(shown):
        words_said = clause.spoken.split()
        marks = tuple(mark(w, rng.uniform(-1, 9)) for w in words_said if rng.random() < 0.7)
        for known in ((), marks, tuple(sorted(marks, key=lambda m: m.start_s))):
            duration_s = rng.uniform(0, 8)
            words = caption_words(clause.shown, clause.spoken, known, duration_s)
            check(words, clause.shown, duration_s)
            for word in words:
                rest = clause.shown[word.shown_end :]
                assert not rest or not unicodedata.category(rest[0]).startswith("M")


def test_a_long_clause_is_quick() -> None:
    text = "abc, def " * 200
    started = time.perf_counter()
    caption_words(text, text, (), 90.0)
    assert time.perf_counter() - started < 0.5
