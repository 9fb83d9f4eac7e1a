"""Cutting: passages of the right size, that begin and end where a reader would, in any script."""

# ruff: noqa: RUF001

from __future__ import annotations

import random
import re
import time
from itertools import pairwise

import pytest

from serve_apps.documents.cutting import cut, distinct, embedded_text, fingerprint
from serve_apps.documents.plain import paragraphs
from serve_apps.documents.splitting import weight
from serve_apps.documents.structure import Block, Book, Limits, StructuredPage
from serve_apps.wire_knowledge import Passage

LIMITS = Limits(max_pages=100, max_text_bytes=2**22, max_unpacked_bytes=2**22, passage_characters=200)

SCRIPTS = {
    "Chinese": "灯塔有二百一十四级台阶。看守人每天晚上点灯，从不迟到。" * 40,
    "Chinese without stops": "灯塔看守人每天晚上点灯" * 100,
    "Japanese": "灯台には二百十四段の階段があります。「誰が登りますか？」と猫が言いました。" * 30,
    "Thai": "ประภาคารมีบันไดสองร้อยสิบสี่ขั้นผู้ดูแลจุดไฟทุกคืน" * 40,
    "Arabic": "في المنارة مئتان وأربع عشرة درجة. يشعل الحارس المصباح كل ليلة؟ نعم. " * 30,
    "Hebrew": "במגדלור יש מאתיים וארבע עשרה מדרגות. השומר מדליק את האור בכל לילה. " * 30,
    "emoji": "ok👩‍👩‍👧‍👦👍🏽🏳️‍🌈" * 300,
    "marks": "a\u0301\u0323e\u0308" * 400,
    "one long word": "x" * 5000,
    "one long line": "The keeper climbs the stairs without a stop " * 200,
    "sentences": "The lamp costs 3.14 crowns. Is that much? Maren said: “No!” And so it was… " * 40,
    "lines": "\n".join(f"{n:04} step {n * n}" for n in range(800)),
    "paragraphs": "\n\n".join("A short paragraph about stairs. " * (n % 5 + 1) for n in range(60)),
}


def page_of(text: str, number: int = 1) -> StructuredPage:
    return StructuredPage(number=number, text=text, blocks=tuple(paragraphs(text, 0, len(text))))


@pytest.mark.parametrize("kind", ["text", "lines", "code", "row"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_passages_cover_everything_once_and_fit(script: str, kind: str) -> None:
    text = SCRIPTS[script]
    page = StructuredPage(number=1, text=text, blocks=(Block(kind, 0, len(text)),))  # type: ignore[arg-type]
    passages = cut([page], 200)
    covered = "".join(text[passage.start : passage.end] for passage in passages)
    assert re.sub(r"\s", "", covered) == re.sub(r"\s", "", text), "something is lost, or there twice"
    for passage in passages:
        assert re.sub(r"\s", "", passage.text) == re.sub(r"\s", "", text[passage.start : passage.end])
        assert weight(passage.text) <= 240
    assert sum(weight(passage.text) for passage in passages) / len(passages) > 80


def test_letters_stay_with_their_marks() -> None:
    for script in ("emoji", "marks"):
        for passage in cut([page_of(SCRIPTS[script])], 100):
            assert passage.text[0] in "ok👩👍🏳ae"


def test_sentences_stay_whole_where_they_fit() -> None:
    for passage in cut([page_of(SCRIPTS["sentences"])], 200):
        assert passage.text[-1] in ".?!…”"
        assert passage.text.count("3.14") == passage.text.count("lamp costs")


def test_random_texts_are_cut_the_same_every_time() -> None:
    chance = random.Random(7)  # noqa: S311  # a test's dice
    letters = "ab. \n\t。！？é́👍\u00ad中ไ#|-`"
    for length in (1, 10, 100, 1000, 5000):
        text = "".join(chance.choices(letters, k=length))
        page = page_of(text)
        passages = cut([page], 100)
        assert passages == cut([page], 100)
        ends = [(passage.start, passage.end) for passage in passages]
        assert ends == sorted(ends)
        assert all(one[1] <= two[0] for one, two in pairwise(ends))


def seconds(text: str) -> float:
    """What cutting costs this thread: other tests may have left some that work in this process, too."""
    start = time.thread_time()
    cut([page_of(text)], 700)
    return time.thread_time() - start


def test_twenty_megabytes_take_seconds() -> None:
    """And twice as much takes about twice as long."""
    paragraph = "The keeper climbs the stairs. " * 20 + "\n\n"
    texts = [paragraph * (n_bytes // 602) for n_bytes in (5_000_000, 20_000_000)]
    rounds = [[seconds(text) for text in texts] for _ in range(3)]
    timings = [min(times) for times in zip(*rounds, strict=True)]
    assert timings[1] < 8 * timings[0] + 0.5
    assert timings[1] < 30


@pytest.mark.parametrize("pattern", ["x", "x ", ".", "中", "\n ", "'", "¶́"])
def test_a_megabyte_of_anything_is_cut_in_linear_time(pattern: str) -> None:
    text = pattern * (2**20 // len(pattern))
    assert seconds(text) < 5


def headed(*sections: tuple[int, str, str]) -> StructuredPage:
    book = Book(LIMITS)
    page = book.turn()
    for level, title, body in sections:
        page.heading(title, level)
        page.paragraph(body)
    page.close()
    return book.pages[0]


LONG = "A sentence about this very thing and nothing else. " * 4


def test_sections_are_kept_apart_with_their_path() -> None:
    passages = cut([headed((1, "Book", ""), (2, "One", LONG), (2, "Two", LONG), (1, "Other", LONG))], 250)
    assert [passage.headings for passage in passages] == [("Book", "One"), ("Book", "Two"), ("Other",)]
    assert passages[0].text.startswith("Book\n\nOne\n\nA sentence")


def test_small_sections_are_put_together_under_what_they_share() -> None:
    passages = cut([headed((1, "Questions", ""), (2, "Who?", "Maren."), (2, "When?", "In 1901."))], 250)
    assert [passage.headings for passage in passages] == [("Questions",)]
    assert passages[0].text == "Questions\n\nWho?\n\nMaren.\n\nWhen?\n\nIn 1901."


def test_a_heading_alone_is_found_too() -> None:
    assert [passage.text for passage in cut([headed((1, "Only a title", ""))], 250)] == ["Only a title"]


def test_headings_go_on_over_pages_unless_a_page_is_fresh() -> None:
    first = headed((1, "Chapter", LONG))
    text = "The next page goes on."
    for fresh, path in ((False, ("Chapter",)), (True, ())):
        page = StructuredPage(number=2, text=text, blocks=(Block("text", 0, len(text)),), fresh=fresh)
        assert cut([first, page], 250)[-1].headings == path


def test_passages_never_cross_pages() -> None:
    pages = [page_of("Short.", number) for number in (1, 2, 3)]
    assert [passage.page for passage in cut(pages, 700)] == [1, 2, 3]


def passage_of(text: str, headings: tuple[str, ...] = ()) -> Passage:
    return Passage(index=0, text=text, page=1, start=0, end=len(text), headings=headings)


def test_embedded_text_says_where_it_stands_in_short() -> None:
    assert embedded_text(passage_of("Close it."), "notes/night_book.md") == "night book\nClose it."
    headings = ("Manual", "Dome")
    assert embedded_text(passage_of("Close it.", headings), "a.md") == "Manual › Dome\nClose it."
    assert (
        embedded_text(passage_of("## Dome\n\nClose it.", headings), "a.md") == "Manual\n## Dome\n\nClose it."
    )
    long = tuple(f"{n} " + "words " * 15 for n in range(9))
    assert len(embedded_text(passage_of("Close it.", long), "a.md")) < 300
    assert len(embedded_text(passage_of("Close it."), "x" * 300)) < 100


def test_fingerprints_ignore_case_space_and_punctuation() -> None:
    assert fingerprint("All rights — reserved!") == fingerprint("all  RIGHTS reserved")
    assert fingerprint("one") != fingerprint("two")
    kept = distinct([passage_of("One."), passage_of("Two."), passage_of("one")])
    assert [(passage.index, passage.text) for passage in kept] == [(0, "One."), (1, "Two.")]


def test_dots_that_lead_to_a_page_number_are_not_read_out() -> None:
    text = "1.2 Stairs" + " ." * 40 + " 17"
    page = StructuredPage(number=1, text=text, blocks=(Block("text", 0, len(text)),))
    assert cut([page], 200)[0].text == "1.2 Stairs … 17"


def test_ligatures_are_letters_to_a_search() -> None:
    text = "The ﬁrst oﬃce"
    page = StructuredPage(number=1, text=text, blocks=(Block("text", 0, len(text)),))
    assert cut([page], 200)[0].text == "The first office"
