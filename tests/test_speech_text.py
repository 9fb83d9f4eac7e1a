"""Cutting text into clauses, and what is said of markup."""

from __future__ import annotations

import random
import string

import pytest

from serve_apps.speech_text import MAX_WEIGHT, Clause, ClauseSplitter, clauses, spoken

ANSWER = """Well, hello there, my friend.
Dr. Smith paid $3.14 for 1,000 items,
e.g. (see https://www.example.com/a?b=1.).

# A title
- **one** item, then `x = 1, 2. 3`
- [the docs, now](http://x.y/z) are here
1. first
2. second

```python
print("a. b")

x, y = 1
```
| a | b |
|---|---|
| 1 | 2 |
今日は良い天気ですね。「散歩に行きましょう。」彼は言った。 مرحبا، كيف حالك؟ नमस्ते।
😀 Wait... what?! Mail bob@example.com."""


def shown(text: str) -> list[str]:
    return [clause.shown for clause in clauses(text)]


def said(text: str) -> list[str]:
    return [clause.spoken for clause in clauses(text) if clause.spoken]


def feed_in_pieces(text: str, rng: random.Random) -> list[Clause]:
    splitter, done = ClauseSplitter(), []
    while text:
        n = rng.randint(1, 12)
        done += splitter.feed(text[:n])
        text = text[n:]
    return done + splitter.finish()


@pytest.mark.parametrize("seed", range(60))
def test_any_chunking_gives_the_same_clauses_and_loses_nothing(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 (a test's noise)
    alphabet = (
        string.ascii_letters
        + " " * 20
        + ".,;:!?…\n\n`*_#-|[]()0123456789" * 2
        + "。、「」अ।ไทยمر؟😀\u200d\x00\t\r"
    )
    noise = "".join(rng.choice(alphabet) for _ in range(1500))
    for text in (ANSWER, noise):
        whole = list(clauses(text))
        assert "".join(clause.shown for clause in whole) == text
        assert feed_in_pieces(text, rng) == whole
        assert [spoken(c.shown) for c in whole if c.spoken] == [c.spoken for c in whole if c.spoken]


def test_the_first_clause_leaves_at_a_comma_and_before_the_sentence_ends() -> None:
    splitter = ClauseSplitter()
    assert splitter.feed("Well, to be honest,") == []
    assert splitter.feed(" I") == [Clause("Well, to be honest,", "Well, to be honest,")]


def test_later_clauses_wait_for_more_than_a_few_words() -> None:
    assert shown("Good morning. Red, green, blue, and white.") == [
        "Good morning.",
        " Red, green, blue, and white.",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Dr. Smith saw Mrs. Jones",
        "It is 3.14 or 1,000.50 today",
        "Prices, e.g. this one",
        "J. R. R. Tolkien wrote it",
        "See example.com/a.b?c=d or not",
        "Ask bob.smith@example.com now",
        "Wait... what",
    ],
)
def test_a_mark_inside_a_word_ends_nothing(text: str) -> None:
    assert shown(text) == [text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("今日は良い。明日も良い。", ["今日は良い。", "明日も良い。"]),
        ("「行こう。」彼は言った。", ["「行こう。」", "彼は言った。"]),
        ("कैसे हो। ठीक हूँ।", ["कैसे हो।", " ठीक हूँ।"]),
        ("كيف حالك؟ أنا بخير.", ["كيف حالك؟", " أنا بخير."]),
        ("Really?! Yes.", ["Really?!", " Yes."]),
        ('She said "no." Then left.', ['She said "no."', " Then left."]),
        ("- one\n- two\n", ["- one\n", "- two\n"]),
        ("a wrapped\nline of text", ["a wrapped\nline of text"]),
    ],
)
def test_sentences_and_items_are_clauses(text: str, expected: list[str]) -> None:
    assert shown(text) == expected


def test_a_thai_space_ends_a_clause() -> None:
    assert len(shown("สวัสดีครับผมชื่อสมชาย ยินดีที่ได้รู้จักคุณ")) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# A *big* title", "A big title"),
        ("**Bold**, _soft_ and ~~gone~~", "Bold, soft and gone"),
        ("2*3 and snake_case", "2*3 and snake_case"),
        ("See [the docs](https://x.org/a)", "See the docs"),
        ("At https://www.example.com/a/b?c=d.", "At example.com."),
        ("- [x] buy milk", "buy milk"),
        ("> quoted", "quoted"),
        ("run `ls -l`", "run ls -l"),
        ("Fish &amp; chips<br>", "Fish & chips"),
        ("Great 😀 idea", "Great idea"),
        ("| a | b |", "a, b"),
        ("|---|:--:|", ""),
        ("---", ""),
        ("?!...", ""),
        (" \n\t", ""),
    ],
)
def test_markup_is_not_said(text: str, expected: str) -> None:
    assert spoken(text) == expected


def test_code_is_shown_and_not_said() -> None:
    assert said("Look:\n```python\nprint('hi. there')\n```\nDone.") == ["Look:", "Done."]


def test_text_without_marks_is_cut_at_a_space() -> None:
    parts = shown("word " * 1000)
    assert all(MAX_WEIGHT <= len(part) <= MAX_WEIGHT + 5 for part in parts[:-1])
    assert all(len(part) <= 2 * MAX_WEIGHT for part in shown("x" * 10_000))


@pytest.mark.parametrize("text", ["", "   ", "\n\n", "\x00", "```", "[", "`"])
def test_odd_ends_are_kept(text: str) -> None:
    assert "".join(shown(text)) == text
    assert said(text) == []
