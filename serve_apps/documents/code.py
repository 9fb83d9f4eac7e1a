"""Source code, configuration and notebooks: cut at blank lines, under the definitions they stand in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson

from serve_apps.documents.decoding import decoded
from serve_apps.documents.kinds import extension
from serve_apps.documents.structure import Block, Book, StructuredPage, one_line, printable

_DEFINITION = re.compile(
    r"""(?P<indent>[ \t]*)
    (?:(?:export|default|public|private|protected|internal|static|abstract|final|async|pub(?:\(\w+\))?|unsafe|open|
        override|virtual|inline|local|sealed|data|create(?:\ or\ replace)?)\ +){0,5}
    (?:class|def|fn|func|fun|function|struct|enum|interface|trait|impl|module|namespace|record|object|protocol|
        procedure|table|view|resource|message|service|defmodule|sub|package)\b[ \t]+[\w"'`.:<]""",
    re.VERBOSE | re.IGNORECASE,
)
_SECTION = re.compile(r"\[{1,2}[\w.:\"' -]+\]{1,2}[ \t]*$")
_BLANK = re.compile(r"\n(?:[ \t\r\f\v]*\n)+")
_LOOKED_AT = 200
"""Characters at a line's beginning in which a definition is looked for."""
_INDENT = 4
_DEEPEST = 3
_PROSE = ("json", "jsonl", "ndjson", "css", "scss", "diff", "patch", "log", "xml", "svg")
"""Formats in which such words define nothing."""


def read_code(file: BinaryIO, name: str, book: Book) -> None:
    """The file as one page; a notebook's cells in order."""
    text = printable(decoded(book.taken(file)))
    suffix = extension(name)
    if suffix == "ipynb":
        _notebook(text, book)
        return
    book.spend(text)
    blocks = _plain(text) if suffix in _PROSE else _defined(text)
    book.add(StructuredPage(number=1, text=text, blocks=tuple(blocks)))


def _plain(text: str) -> Iterator[Block]:
    for start, end in _stretches(text):
        yield Block("code", start, end)


def _defined(text: str) -> Iterator[Block]:
    """Stretches between blank lines, with a heading at each definition that is not deep inside another."""
    for start, end in _stretches(text):
        open_at = start
        for first, last in _lines(text, start, end):
            level = _level(text[first : min(last, first + _LOOKED_AT)])
            if level:
                if open_at < first:
                    yield Block("code", open_at, first - 1)
                title = one_line(text[first:last].strip().rstrip("{:"))
                # The line is code, too: the heading takes no room of its own.
                yield Block("heading", first, first, level, title)
                open_at = first
        yield Block("code", open_at, end)


def _level(line: str) -> int:
    if found := _DEFINITION.match(line):
        indent = len(found["indent"].expandtabs(_INDENT))
        return level if (level := 1 + indent // _INDENT) <= _DEEPEST else 0
    return 1 if _SECTION.match(line) else 0


def _stretches(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for gap in _BLANK.finditer(text):
        if start < gap.start():
            yield start, gap.start()
        start = gap.end()
    if start < len(text):
        yield start, len(text)


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        last = text.find("\n", start, end)
        last = end if last < 0 else last
        yield start, last
        start = last + 1


def _notebook(text: str, book: Book) -> None:
    """Jupyter's JSON: what was written, not what was computed."""
    page = book.turn()
    cells: list[dict[str, Any]] = orjson.loads(text).get("cells", [])
    for cell in cells:
        source = cell.get("source", "")
        written = source if isinstance(source, str) else "".join(map(str, source))
        if cell.get("cell_type") == "markdown":
            _markdown(written, page)
        elif cell.get("cell_type") == "code":
            page.code(written)
    page.close()


def _markdown(text: str, page: Any) -> None:
    for paragraph in re.split(r"\n{2,}", text):
        line = paragraph.strip()
        level = len(line) - len(line.lstrip("#"))
        if level and "\n" not in line:
            page.heading(line.lstrip("#"), level)
        else:
            page.lines(paragraph)
