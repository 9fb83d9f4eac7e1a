"""Cutting text into clauses, and what is said of markup."""

# ruff: noqa: RUF001 (marks of several scripts)

from __future__ import annotations

import random
import string
from itertools import pairwise

import pytest

from serve_apps.speech_text import MAX_WEIGHT, Clause, ClauseSplitter, clauses, spoken
from serve_apps.writing import joins, weight

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


@pytest.mark.parametrize("seed", range(20))
def test_a_hurry_at_any_time_loses_nothing(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311
    splitter, done, text = ClauseSplitter(), [], ANSWER * 2
    rest = text
    while rest:
        n = rng.randint(1, 12)
        done += splitter.feed(rest[:n])
        done += splitter.hurry() if rng.random() < 0.3 else []
        rest = rest[n:]
    done += splitter.finish()
    assert "".join(clause.shown for clause in done) == text
    assert all(clause.shown for clause in done)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hi. It was the old piano that somebo", [" It was the old piano that"]),
        ("Hi. It was old, the piano that", [" It was old,"]),
        ("Hi. It was old", []),
        ("Hi. It, was", []),
        ("Hi. 现在我们来看第一步，首先", [" 现在我们来看第一步，"]),
        ("Hi. สวัสดีครับ ผม", [" สวัสดีครับ"]),
        ("Hi. See the [docs of the old piano and", []),
        ("Hi. See the piano in [the old docs of", []),
        ("Hi. See the old piano here in [the docs", [" See the old piano here in"]),
        ("Hi.\n```\na b c d e f g h", []),
        ("Hi. One two three four five six\n", []),
        ("Hi.", []),
        ("", []),
    ],
)
def test_in_a_hurry_a_clause_ends_at_a_comma_or_between_words(text: str, expected: list[str]) -> None:
    splitter = ClauseSplitter()
    splitter.feed(text)
    hurried = splitter.hurry()
    assert [clause.shown for clause in hurried] == expected
    assert splitter.hurry() == []


def test_after_a_hurry_the_clause_goes_on_where_it_was_cut() -> None:
    splitter = ClauseSplitter()
    splitter.feed("Hi. It was the old piano, that some")
    assert splitter.hurry() == [Clause(" It was the old piano,", "It was the old piano,")]
    assert splitter.feed("body played. And") == [Clause(" that somebody played.", "that somebody played.")]


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
        "Wait… what",
        "See No. 5 and fig. 3 there",
        "At 10:30 it runs v2.0 or 1.2.3 well",
        "Ph.D. students and the U.S. Senate at 5 p.m. sharp",
        "1. First of all",
        "Es ist der 1. Versuch am 3. Mai",
        '"Yes!" she said',
        "approx. five or e.g. six",
        "第一是3.14和1,000元",
        "ราคา 1,000 บาท",
        "ต่าง ๆ กัน",
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
        ("1. one\n   and more\n2. two", ["1. one\n   and more\n", "2. two"]),
        ("- one\n  - inner\n- two", ["- one\n  ", "- inner\n", "- two"]),
        ("Steps: 1. Mix. 2. Bake.", ["Steps: 1. Mix.", " 2. Bake."]),
        ("It is v2.0. Go.", ["It is v2.0.", " Go."]),
        ("In 2024. Then", ["In 2024.", " Then"]),
        ("No. That is wrong.", ["No.", " That is wrong."]),
        (
            "Mail bob@x.org. Or see https://a.b/c.d?e=f. Now",
            ["Mail bob@x.org.", " Or see https://a.b/c.d?e=f.", " Now"],
        ),
        ("Run `a. b`. Then `c, d`.", ["Run `a. b`.", " Then `c, d`."]),
        ("他说：“很好。”然后走了。", ["他说：“很好。”", "然后走了。"]),
        ("你好!我们去吧!", ["你好!", "我们去吧!"]),
        ("好的……再见。", ["好的……再见。"]),
        ("はい、そうです。え？本当？", ["はい、そうです。", "え？", "本当？"]),
        ("안녕하세요. 반가워요.", ["안녕하세요.", " 반가워요."]),
        ("(Really.) Okay.", ["(Really.)", " Okay."]),
        ("Hello.\n\nNext.", ["Hello.", "\n", "\nNext."]),
    ],
)
def test_sentences_and_items_are_clauses(text: str, expected: list[str]) -> None:
    assert shown(text) == expected


def test_a_long_chinese_sentence_leaves_at_its_first_comma() -> None:
    text = "现在我们来看第一步，首先你需要准备面粉和水，然后把它们混合在一起，最后放进烤箱。"
    assert shown(text)[0] == "现在我们来看第一步，"
    assert len(shown(text)) == 3


@pytest.mark.parametrize(
    "text",
    [
        "กำลังไปทะเลกับเพื่อน" * 60,
        "今日はとても良い天気なので公園に散歩に行きたい" * 40,
        "x" + "\u0301" * 2000,
        "👩🏽\u200d🚀👨\u200d👩\u200d👧" * 400,
        "क्षत्रिय" * 300,
    ],
    ids=["thai", "japanese", "accents", "emoji", "hindi"],
)
def test_a_run_without_spaces_is_never_cut_inside_a_character(text: str) -> None:
    parts = shown(text)
    assert "".join(parts) == text
    assert not any(joins(a[-1], b[0]) for a, b in pairwise(parts))
    for part in parts:
        whole = [character for before, character in pairwise(" " + part) if not joins(before, character)]
        assert sum(weight(character) for character in whole) <= 2 * MAX_WEIGHT + 3


def test_a_run_of_japanese_is_cut_where_a_word_begins() -> None:
    for part in shown("今日はとても良い天気なので公園に散歩に行きたい" * 40)[1:]:
        assert part[0] in "今良天公散行"


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
