"""Plain text and Markdown: pages of the text as it is, with paragraphs, headings and fences found in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from serve_apps.documents.decoding import decoded
from serve_apps.documents.structure import Block, Book, StructuredPage, one_line, printable

_BLANK = re.compile(r"\n(?:[^\S\n]*\n)+")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+|$)")
_UNDERLINE = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
_RULE_OF_TABLE = frozenset("|-: \t")
_MARKS = re.compile(r"[*_`]{1,3}|!?\[([^\]]*)\]\([^)]*\)")
_LONGEST_HEADING = 400
_FEWEST_TABLE_LINES = 3
_FRONT = re.compile(r"---[ \t]*\n.{0,10000}?\n(?:---|\.\.\.)[ \t]*(?:\n|$)", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title:[ \t]*[\"']?(.+?)[\"']?[ \t]*$", re.MULTILINE)


def read_text(file: BinaryIO, name: str, book: Book) -> None:
    """Plain text: paragraphs between blank lines."""
    _ = name
    text = _taken(file, book)
    book.add(StructuredPage(number=1, text=text, blocks=tuple(paragraphs(text, 0, len(text)))))


def read_markdown(file: BinaryIO, name: str, book: Book) -> None:
    """Markdown: headings, fences and tables are found; the title is its own or its first heading."""
    _ = name
    text = _taken(file, book)
    front = _FRONT.match(text)
    blocks = tuple(_markdown(text, front.end() if front else 0))
    title = _FRONT_TITLE.search(text, 0, front.end()) if front else None
    headings = (block.title for block in blocks if block.kind == "heading")
    book.title = one_line(title[1]) if title else next(headings, "")
    book.add(StructuredPage(number=1, text=text, blocks=blocks))


def paragraphs(text: str, start: int, end: int) -> Iterator[Block]:
    """Stretches between blank lines."""
    for gap in _BLANK.finditer(text, start, end):
        yield Block("lines", start, gap.start())
        start = gap.end()
    yield Block("lines", start, end)


def _taken(file: BinaryIO, book: Book) -> str:
    text = printable(decoded(book.taken(file)))
    book.spend(text)
    return text


def _lines(text: str, start: int) -> Iterator[tuple[int, int]]:
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield start, end
        start = end + 1


def _markdown(text: str, start: int) -> Iterator[Block]:
    """Blocks line by line: what is open (a paragraph, a fence) ends where the next begins."""
    open_at, last_end, fence = -1, 0, ""
    for first, last in _lines(text, start):
        line = text[first:last]
        if fence:
            last_end = last
            if line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                yield Block("code", open_at, last)
                open_at, fence = -1, ""
            continue
        heading, opening = _HEADING.match(line), _FENCE.match(line)
        underlined = open_at >= 0 and "\n" not in text[open_at:last_end] and _UNDERLINE.match(line)
        if underlined and not text[open_at:last_end].lstrip().startswith(("|", "-", "*", ">")):
            level = 1 if "=" in line else 2
            yield Block("heading", open_at, last_end, level, _plain(text[open_at:last_end]))
            open_at = -1
            continue
        if open_at >= 0 and (heading or opening or not line.strip()):
            yield from _paragraph(text, open_at, last_end)
            open_at = -1
        if heading:
            yield Block("heading", first, last, len(heading[1]), _plain(line[heading.end() :].rstrip(" \t#")))
        elif line.strip():
            fence = opening[1] if opening else ""
            open_at, last_end = (first if open_at < 0 else open_at), last
    if open_at >= 0:
        yield from [Block("code", open_at, last_end)] if fence else _paragraph(text, open_at, last_end)


def _paragraph(text: str, start: int, end: int) -> Iterator[Block]:
    """A paragraph; or a table's rows, which know their header."""
    lines = [(start + first, start + last) for first, last in _lines(text[start:end], 0)]
    if (
        len(lines) < _FEWEST_TABLE_LINES
        or not _is_rule(text[slice(*lines[1])])
        or "|" not in text[slice(*lines[0])]
    ):
        yield Block("lines", start, end)
        return
    header = text[slice(*lines[0])]
    columns = " | ".join(_plain(cell) for cell in header.strip().strip("|").split("|"))
    yield Block("row", lines[0][0], lines[1][1])
    for first, last in lines[2:]:
        yield Block("row", first, last, columns=one_line(columns))


def _is_rule(line: str) -> bool:
    """The line below a table's header."""
    return "-" in line and "|" in line and set(line) <= _RULE_OF_TABLE


def _plain(text: str) -> str:
    """A heading's words without their Markdown; only its beginning is looked at."""
    return one_line(_MARKS.sub(lambda found: found[1] or "", text[:_LONGEST_HEADING]))
