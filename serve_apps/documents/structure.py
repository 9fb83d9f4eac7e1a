"""A document while it is being read: pages of text, and the blocks that stand on them.

Format readers turn pages of a `Book` and write blocks on them; spans are right because the text is
written once. Formats that come with their own text (PDF, Markdown, code) add `StructuredPage`s whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import BinaryIO, Literal

from serve_apps.errors import DocumentTooLarge

BlockKind = Literal["heading", "text", "lines", "row", "code"]
"""`text` flows, its line breaks mean nothing; `lines` and `code` keep theirs; a `row` is a table's line."""

LONGEST_PAGE = 100_000
"""Characters. Longer sheets, chapters and texts become several pages, so that one can be looked at."""

_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_SPACES = re.compile(r"\s+")
_LONGEST_TITLE = 120
_MOST_BYTES_A_CHARACTER = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one document may be; from `IngestArgs`, without needing pydantic to be imported."""

    max_pages: int
    max_text_bytes: int
    max_unpacked_bytes: int
    passage_characters: int


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of a page's text that belongs together: `text[start:end]`."""

    kind: BlockKind
    start: int
    end: int
    level: int = 0
    """Of a heading, from 1."""
    title: str = ""
    """A heading as paths show it. A heading may be empty (`start == end`) where it is not on the page."""
    columns: str = ""
    """The header of the table that a row of raw text belongs to; rows that name their columns have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StructuredPage:
    """A page with its blocks, in order and without overlaps; text outside of blocks is in no passage."""

    number: int
    text: str
    blocks: tuple[Block, ...]
    label: str = ""
    fresh: bool = False
    """Headings of the page before do not go on here."""


def printable(text: str) -> str:
    """The text with control characters as spaces and lone surrogates as U+FFFD; of the same length."""
    return _UNPRINTABLE.sub(lambda found: "\ufffd" if found[0] >= "\ud800" else " ", text)


def one_line(text: str, longest: int = _LONGEST_TITLE) -> str:
    """A heading or title: on one line, and not too long to be a path's step."""
    line = _SPACES.sub(" ", printable(text[: 4 * longest])).strip()
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


@dataclass(slots=True)
class Book:
    """Gathers what a format reader reads, and stops it at the limits."""

    limits: Limits
    title: str = ""
    notes: list[str] = field(default_factory=list)
    pages: list[StructuredPage] = field(default_factory=list)
    n_bytes: int = 0

    def turn(self, label: str = "", number: int = 0) -> Writer:
        """Begin the next page; `Writer.close` binds it, under its own number if it has one."""
        self.admit(len(self.pages) + 1)
        return Writer(self, one_line(label), number)

    def taken(self, file: BinaryIO) -> bytes:
        """All bytes of a file that is text; raise DocumentTooLarge if they cannot be within the limit."""
        data = file.read(_MOST_BYTES_A_CHARACTER * self.limits.max_text_bytes + 1)
        if len(data) > _MOST_BYTES_A_CHARACTER * self.limits.max_text_bytes:
            raise self._too_much_text()
        return data

    def admit(self, n_pages: int) -> None:
        """Raise DocumentTooLarge if a document of so many pages is over the limit."""
        if n_pages > self.limits.max_pages:
            raise DocumentTooLarge(
                f"The document has more than {self.limits.max_pages} pages.",
                "Split it, or raise max_pages in ingest's configuration.",
            )

    def spend(self, text: str) -> None:
        """Count text that was read; raise DocumentTooLarge over the limit."""
        self.n_bytes += len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
        if self.n_bytes > self.limits.max_text_bytes:
            raise self._too_much_text()

    def add(self, page: StructuredPage) -> None:
        """Bind text that was counted already: a page, or several where it is long."""
        for part in _parts(page):
            self.bind(part)

    def bind(self, page: StructuredPage) -> None:
        """Bind one page whole: the format numbers its pages itself."""
        self.admit(len(self.pages) + 1)
        self.pages.append(page)

    def _too_much_text(self) -> DocumentTooLarge:
        return DocumentTooLarge(
            f"The document holds more than {self.limits.max_text_bytes // 2**20} MB of text.",
            "Split it, or raise max_text_mb in ingest's configuration.",
        )


class Writer:
    """Writes one page, block by block."""

    def __init__(self, book: Book, label: str, number: int) -> None:
        self._book = book
        self._number = number
        self.label = label
        self.first_heading = ""
        self._text: list[str] = []
        self._blocks: list[Block] = []
        self._length = 0

    def heading(self, text: str, level: int = 1) -> None:
        """A heading; level 1 is the outermost."""
        if line := one_line(text):
            self.first_heading = self.first_heading or line
            self._write("heading", line, level=level, title=line)

    def paragraph(self, text: str) -> None:
        """Flowing text: white space is folded."""
        self._write("text", _SPACES.sub(" ", printable(text)).strip())

    def lines(self, text: str) -> None:
        """Text whose line breaks mean something."""
        self._write("lines", printable(text).strip("\n"))

    def code(self, text: str) -> None:
        """Kept as it is, indentation and all."""
        self._write("code", printable(text).strip("\n"))

    def row(self, cells: list[tuple[str, str]]) -> None:
        """A table's row as "column: value" pairs; a column without a name is its value only."""
        pairs = [(one_line(name), _SPACES.sub(" ", printable(value)).strip()) for name, value in cells]
        line = "; ".join(f"{name}: {value}" if name else value for name, value in pairs if value)
        self._write("row", line)

    def close(self) -> None:
        """Bind the page, unless nothing was written."""
        if self._blocks:
            page = StructuredPage(
                number=self._number or len(self._book.pages) + 1,
                text="".join(self._text),
                blocks=tuple(self._blocks),
                label=self.label,
                fresh=True,
            )
            (self._book.bind if self._number else self._book.add)(page)

    def _write(self, kind: BlockKind, text: str, level: int = 0, title: str = "") -> None:
        if not text:
            return
        self._book.spend(text)
        if self._blocks:
            gap = "\n" if kind == "row" and self._blocks[-1].kind == "row" else "\n\n"
            self._text.append(gap)
            self._length += len(gap)
        start, self._length = self._length, self._length + len(text)
        self._text.append(text)
        self._blocks.append(Block(kind, start, self._length, level, title))


def _parts(page: StructuredPage) -> list[StructuredPage]:
    """The page, or the pages that it is too long for; numbers go on from its own."""
    if len(page.text) <= LONGEST_PAGE or not page.blocks:
        return [page]
    groups: list[list[Block]] = [[]]
    for block in _short(page.blocks):
        if groups[-1] and block.end - groups[-1][0].start > LONGEST_PAGE:
            groups.append([])
        groups[-1].append(block)
    return [_part(page, group, index, len(groups)) for index, group in enumerate(groups)]


def _part(page: StructuredPage, blocks: list[Block], index: int, n_parts: int) -> StructuredPage:
    first, last = blocks[0].start, blocks[-1].end
    part = f"part {index + 1}" if n_parts > 1 else ""
    return StructuredPage(
        number=page.number + index,
        text=page.text[first:last],
        blocks=tuple(_moved(block, first) for block in blocks),
        label=", ".join(filter(None, (page.label, part))),
        fresh=page.fresh and index == 0,
    )


def _moved(block: Block, by: int, start: int | None = None, end: int | None = None) -> Block:
    first = block.start if start is None else start
    last = block.end if end is None else end
    return Block(block.kind, first - by, last - by, block.level, block.title, block.columns)


def _short(blocks: tuple[Block, ...]) -> list[Block]:
    """The blocks, with those that are longer than a page cut to a page's length."""
    found = []
    for block in blocks:
        starts = range(block.start, max(block.end, block.start + 1), LONGEST_PAGE)
        found += [_moved(block, 0, start, min(start + LONGEST_PAGE, block.end)) for start in starts]
    return found
