"""Every kind of document: its pages, titles, headings and passages."""

from __future__ import annotations

import asyncio
import json
import re
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
import typst

from serve_apps.args import IngestArgs
from serve_apps.documents.kinds import kind_of
from serve_apps.documents.reading import ReadDocument, from_transcript, read
from serve_apps.errors import DocumentTooLarge, DocumentUnreadable
from serve_apps.wire import Segment
from tests.document_files import FACT, FILES
from tests.hostile import drawn
from tests.pdf_files import made_pdf
from tests.reader_processes import readers

ARGS = IngestArgs(passage_characters=200)
SAMPLES = Path(__file__).resolve().parent.parent / "assets/samples/documents"


async def read_bytes(folder: Path, name: str, data: bytes, args: IngestArgs = ARGS) -> ReadDocument:
    path = folder / "file"
    path.write_bytes(data)
    return await read(path, name, args)


def words(text: str) -> list[str]:
    """Without the hyphens that part words at a line's end."""
    return re.findall(r"\w+", text.replace("\u00ad", ""))


def holds(many: list[str], few: list[str]) -> bool:
    remaining = iter(many)
    return all(word in remaining for word in few)


def text_of(document: ReadDocument) -> str:
    return "\n".join(passage.text for passage in document.passages)


@pytest.mark.parametrize("name", FILES)
async def test_every_kind_is_read(tmp_path: Path, name: str) -> None:
    document = await read_bytes(tmp_path, name, FILES[name]())
    assert any(FACT in " ".join(passage.text.split()) for passage in document.passages)
    assert document.kind == kind_of(name, FILES[name]()[:4096])
    assert document.title in ("Orlan", "orlan", "The lighthouse")


@pytest.mark.parametrize("name", FILES)
async def test_spans_hold_the_passages_words_in_order(tmp_path: Path, name: str) -> None:
    document = await read_bytes(tmp_path, name, FILES[name](), IngestArgs(passage_characters=100))
    pages = {page.number: page for page in document.pages}
    assert [passage.index for passage in document.passages] == list(range(len(document.passages)))
    last = (0, 0)
    for passage in document.passages:
        span = pages[passage.page].text[passage.start : passage.end]
        assert holds(words(span), words(passage.text)), passage
        assert (passage.page, passage.start) >= last, "out of order, or overlapping"
        last = (passage.page, passage.end)


async def test_pdf_has_page_numbers_and_an_outline(tmp_path: Path) -> None:
    document = await read_bytes(tmp_path, "x.pdf", FILES["orlan.pdf"]())
    assert [page.number for page in document.pages] == [1, 2]
    assert document.passages[0].headings == ("The lighthouse",)
    assert document.passages[-1].headings == ("The lighthouse", "Keepers")


async def test_pdf_leaves_out_what_every_page_repeats(tmp_path: Path) -> None:
    pages = [f"Page about the {animal} and its habits." for animal in ("fox", "owl", "hare", "toad")]
    document = await read_bytes(tmp_path, "x.pdf", made_pdf(pages, header="Annual report of the forest"))
    assert [passage.text for passage in document.passages] == pages
    assert "Annual report" in document.pages[0].text


async def test_pdf_joins_words_parted_at_line_ends(tmp_path: Path) -> None:
    long = "extraordinarily incomprehensible administrative responsibilities " * 8
    source = f'#set page(width: 7cm)\n#set text(hyphenate: true, lang: "en")\n#set par(justify: true)\n{long}'
    document = await read_bytes(tmp_path, "x.pdf", typst.compile(source.encode()))
    assert "\u00ad" in document.pages[0].text
    assert set(words(text_of(document))) == set(words(long))


async def test_word_has_headings_lists_and_tables(tmp_path: Path) -> None:
    document = await read_bytes(tmp_path, "x.docx", FILES["orlan.docx"](), IngestArgs())
    assert "• Feed the cat\nKeeper: Maren Holt; Years: 1901-1920; Cat: Biscuit\n" in text_of(document)
    assert document.passages[-1].headings[0] == "The lighthouse"


async def test_slides_are_pages_with_their_notes(tmp_path: Path) -> None:
    document = await read_bytes(tmp_path, "x.pptx", FILES["orlan.pptx"]())
    assert [page.number for page in document.pages] == [1, 2]
    assert document.passages[1].headings == ("Keepers",)
    assert "the cat is called Biscuit" in document.passages[1].text


async def test_sheets_are_pages_and_formulas_do_not_run(tmp_path: Path) -> None:
    document = await read_bytes(tmp_path, "x.xlsx", FILES["orlan.xlsx"]())
    assert [page.label for page in document.pages] == ["Facts", "Keepers"]
    assert "What: Height; Value: 41" in text_of(document)
    assert "WEBSERVICE" not in text_of(document)


async def test_web_pages_keep_what_people_read(tmp_path: Path) -> None:
    document = await read_bytes(tmp_path, "x.html", FILES["orlan.html"](), IngestArgs())
    text = text_of(document)
    assert "• Maren Holt\n• Ole Brandt" in text
    assert "Keeper: Ole Brandt; Years: 1921-1955; Cat: Pim" in text
    assert "climb()\n  rest()" in text
    for word in ("menus", "Terms", "Ignore", "alert", "color"):
        assert word not in text


async def test_books_have_chapters(tmp_path: Path) -> None:
    document = await read_bytes(tmp_path, "x.epub", FILES["orlan.epub"]())
    assert [page.label for page in document.pages] == ["The lighthouse", "Keepers"]


async def test_markdown_keeps_fences_and_names_columns(tmp_path: Path) -> None:
    document = await read_bytes(tmp_path, "x.md", FILES["orlan.md"](), IngestArgs(passage_characters=100))
    assert document.title == "Orlan"
    assert {passage.headings[:1] for passage in document.passages} == {("The lighthouse",)}
    assert any("# no heading\n\nclimb()" in passage.text for passage in document.passages)
    rows = next(passage for passage in document.passages if passage.text.startswith("Ole Brandt"))
    assert rows.headings == ("The lighthouse", "Keepers", "Keeper | Years | Cat")


async def test_code_stands_under_its_definitions(tmp_path: Path) -> None:
    document = await read_bytes(tmp_path, "x.py", FILES["orlan.py"](), IngestArgs(passage_characters=100))
    assert document.passages[-1].headings == ("class Keeper", "def climb(self) -> int")
    assert "        return 214" in document.passages[-1].text


async def test_notebooks_are_read_as_their_cells(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Steps"]},
        {"cell_type": "code", "source": "n = 214"},
    ]
    notebook = json.dumps({"cells": cells}).encode()
    document = await read_bytes(tmp_path, "x.ipynb", notebook)
    assert document.passages[0].headings == ("Steps",)
    assert "n = 214" in document.passages[0].text


async def test_tables_of_any_separator_name_their_columns(tmp_path: Path) -> None:
    document = await read_bytes(tmp_path, "x.csv", FILES["orlan.csv"]())
    assert "What: Öl; Value: 3" in text_of(document)


async def test_long_documents_become_pages_that_can_be_looked_at(tmp_path: Path) -> None:
    rows = "\n".join(f"row {n},{n * n}" for n in range(30_000))
    document = await read_bytes(tmp_path, "x.csv", f"name,square\n{rows}".encode(), IngestArgs())
    assert max(len(page.text) for page in document.pages) <= 100_000
    assert [page.label for page in document.pages][:2] == ["part 1", "part 2"]
    assert text_of(document).count("name: row") == 30_000


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "utf-32"]
)
async def test_encodings_are_told_apart(tmp_path: Path, encoding: str) -> None:
    text = "Die Brücke über den Fluß trägt große Lasten, früher wie künftig. " * 5
    document = await read_bytes(tmp_path, "x.txt", text.encode(encoding))
    assert document.passages[0].text.startswith("Die Brücke über den Fluß")


async def test_pages_that_a_format_numbers_stay_whole(tmp_path: Path) -> None:
    content = b"BT /F 1 Tf 9 9 Td " + b"(Many words on one page of this file. ) Tj " * 4000 + b"ET"
    document = await read_bytes(tmp_path, "x.pdf", drawn(content), IngestArgs())
    assert [page.number for page in document.pages] == [1]
    assert len(document.pages[0].text) > 100_000


async def test_repeated_passages_are_left_out_and_counted(tmp_path: Path) -> None:
    document = await read_bytes(tmp_path, "x.txt", b"\n\n".join([b"All rights reserved. " * 9] * 4))
    assert (len(document.passages), document.n_duplicates) == (1, 3)


async def test_samples_of_the_chat_page_are_read() -> None:
    handbook = await read(SAMPLES / "observatory.pdf", "observatory.pdf", IngestArgs())
    assert handbook.title == "Hollow Ridge Observatory: a handbook"
    assert [page.number for page in handbook.pages] == [1, 2, 3]
    lever = next(passage for passage in handbook.passages if "yellow lever" in passage.text)
    assert (lever.page, lever.headings[-1]) == (2, "Closing the dome")
    notes = await read(SAMPLES / "field-notes.md", "field-notes.md", IngestArgs())
    assert notes.kind == "markdown"


async def test_cancelling_ends_the_process_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"word " * 4_000_000)
    reading = asyncio.create_task(read(tmp_path / "file", "x.txt", IngestArgs()))
    while not (children := readers()):  # noqa: ASYNC110  # processes tell nobody that they began
        await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


async def test_names_only_matter_for_text(tmp_path: Path) -> None:
    document = await read_bytes(tmp_path, "..\\..\x00\n<b>.txt", FILES["orlan.docx"]())
    assert document.kind == "docx"


async def test_a_transcript_is_a_document_with_times() -> None:
    segments = [
        Segment(text=f" Minute {minute} is about stairs.", start_s=60.0 * minute, end_s=60.0 * minute + 50)
        for minute in range(25)
    ]
    document = from_transcript("talk.mp3", segments, IngestArgs(passage_characters=100))
    assert [page.label for page in document.pages] == ["0:00–9:50", "10:00–19:50", "20:00–24:50"]
    assert document.media_type == "audio/mpeg"
    for passage in document.passages:
        page = document.pages[passage.page - 1]
        assert words(page.text[passage.start : passage.end]) == words(passage.text)
        first = int(words(passage.text)[1])
        assert passage.start_s == 60.0 * first
        assert passage.end_s is not None
        assert passage.end_s > passage.start_s


async def test_a_long_segment_is_cut_with_times_in_between() -> None:
    long = Segment(text="stairs and " * 100, start_s=0.0, end_s=100.0)
    passages = from_transcript("talk.wav", [long], IngestArgs(passage_characters=100)).passages
    assert len(passages) > 5
    assert passages[0].start_s == 0.0
    assert passages[-1].end_s == pytest.approx(100.0, abs=1)
    assert all(one.end_s <= two.start_s + 1 for one, two in pairwise(passages))


async def test_silence_is_refused() -> None:
    with pytest.raises(DocumentUnreadable, match="Nobody speaks"):
        from_transcript("talk.wav", [], IngestArgs())


@pytest.mark.parametrize(
    ("name", "head", "kind"),
    [
        ("a.pdf", b"%PDF-1.7", "pdf"),
        ("wrong.txt", b"junk\n%PDF-1.4", "pdf"),
        ("a", b"plain words", "text"),
        ("Makefile", b"all:\n", "code"),
        ("page", b"<!DOCTYPE html><p>", "html"),
        ("a.tsv", b"a\tb", "csv"),
        ("talk.mp3", b"ID3\x03\x00\x00", "audio"),
        ("talk.wav", b"RIFF\x00\x00\x00\x00WAVEfmt \x00", "audio"),
        ("talk.m4a", b"\x00\x00\x00\x20ftypM4A ", "audio"),
        ("ID3 tags.txt", b"ID3 tags are said to be", "text"),
        ("MZ.md", b"MZ is a beginning of a word", "markdown"),
        ("a.txt", "Ελληνικά".encode("utf-16"), "text"),
    ],
)
def test_kinds(name: str, head: bytes, kind: str) -> None:
    assert kind_of(name, head) == kind


@pytest.mark.parametrize(
    ("name", "head", "why"),
    [
        ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Save it as DOCX"),
        ("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "password"),
        (
            "a.odt",
            b"PK\x03\x04" + b"." * 26 + b"mimetypeapplication/vnd.oasis.opendocument.text",
            "OpenDocument",
        ),
        ("a.rtf", b"{\\rtf1", "Save it as DOCX"),
        ("a.zip", b"PK\x03\x04", "an archive"),
        ("a.png", b"\x89PNG\r\n\x1a\n\x00", "a picture"),
        ("a.pdf", b"MZ\x90\x00\x03", "a program"),
        ("a.pdf", b"hello", "named .pdf"),
        ("a.bin", b"\x00\x01\x02\x03" * 9, "not text"),
    ],
)
def test_other_files_are_refused_with_what_to_do(name: str, head: bytes, why: str) -> None:
    with pytest.raises(DocumentUnreadable, match=re.escape(why)):
        kind_of(name, head)


async def test_pages_and_text_are_limited(tmp_path: Path) -> None:
    with pytest.raises(DocumentTooLarge, match="more than 1 pages"):
        await read_bytes(tmp_path, "x.pdf", FILES["orlan.pdf"](), IngestArgs(max_pages=1))
    with pytest.raises(DocumentTooLarge, match="more than 1 MB of text"):
        await read_bytes(tmp_path, "x.txt", b"word " * 400_000, IngestArgs(max_text_mb=1))


async def test_web_tables_and_headings_keep_words_apart(tmp_path: Path) -> None:
    page = b"""<html><body><h1>The <i>Stair</i>s<a href="#s">\xc2\xb6</a></h1>
    <table><tr><th>Who<br>climbs</th><th>When</th></tr><tr><td><p>Maren</p><p>Ole</p><script>no()</script></td><td><b>N</b>ow</td></tr></table>
    <pre>one<br>two</pre></body></html>"""
    document = await read_bytes(tmp_path, "x.html", page, IngestArgs())
    text = document.passages[0].text
    assert text == "The Stairs\n\nWho climbs: Maren Ole; When: Now\n\none\ntwo"
