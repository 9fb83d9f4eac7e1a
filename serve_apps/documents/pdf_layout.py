"""What a PDF does not say: which lines are paragraphs, headings, or the same on every page."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from serve_apps.documents.pdf_text import SOFT_HYPHEN, Line
from serve_apps.documents.structure import Block, one_line

_HEADING_SIZE = 1.15
"""How much larger than the body's letters a heading's are."""
_SAME_SIZE = 1.06
_PARAGRAPH_PITCH = 1.35
"""Lines further apart than this, by the page's usual distance, are two paragraphs."""
_LONGEST_HEADING = 200
_MOST_HEADINGS = 0.2
"""Share of all text; where more is large, size does not mean heading."""
_MARGIN_LINES = 2
_FEWEST_REPEATS = 3
_REPEATED_SHARE = 0.1
_DEEPEST = 4
_LONGEST_NUMBER = 10
"""Letters before a title: "Chapter 12", "3.1"."""
_SHORTEST_PART = 9
"""Letters of a line that may be the first of a title's lines."""

_DIGITS = re.compile(r"\d+")
_LETTER = re.compile(r"[^\W\d_]")
_ITEM = re.compile(r"[•▪◦‣·●○■–—*-]\s|\(?\d{1,3}[.)]\s|\(?[a-z][.)]\s")
_SENTENCE_END = re.compile(r"[.!?:;。！？…][\"'”’)\]]*\s*$")  # noqa: RUF001
_NOT_WORDS = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class TextPage:
    """A page's text and lines."""

    number: int
    text: str
    lines: tuple[Line, ...]

    def line(self, line: Line) -> str:
        """A line's text, without the white space around it."""
        return self.text[line.start : line.end].strip().strip(SOFT_HYPHEN)


@dataclass(frozen=True, slots=True)
class OutlineEntry:
    """A step of the document's own table of contents."""

    page: int
    title: str
    level: int


class Layout:
    """Knows all pages: what size the body is, which lines come again and again, what the headings are."""

    def __init__(self, pages: Sequence[TextPage], outline: Sequence[OutlineEntry]) -> None:
        self._body = _body_size(pages)
        self._repeated = _repeated(pages, self._body)
        self._levels = _levels(pages, self._body)
        self._outline: dict[int, list[OutlineEntry]] = defaultdict(list)
        for entry in outline:
            self._outline[entry.page].append(entry)

    def blocks(self, page: TextPage) -> tuple[Block, ...]:
        """The page's headings and paragraphs, without the lines that every page has."""
        lines = [line for line in page.lines if _margin_key(page, line) not in self._repeated]
        outlined, missing = self._outlined(page, lines)
        found = [Block("heading", 0, 0, entry.level, entry.title) for entry in missing]
        found += _paragraphs(page, lines, outlined if self._outline else self._sized(page, lines))
        return tuple(found)

    def _outlined(self, page: TextPage, lines: Sequence[Line]) -> tuple[dict[Line, int], list[OutlineEntry]]:
        """Which lines are the outline's titles, and which titles are on no line."""
        keys = [(_key(page.line(line)), line) for line in lines]
        levels: dict[Line, int] = {}
        missing = []
        for entry in self._outline.get(page.number, ()):
            title = _key(entry.title)
            free = [(key, line) for key, line in keys if key and line not in levels]
            line = next((line for key, line in free if key == title), None)
            line = line or next((line for key, line in free if _matches(key, title)), None)
            if line is None:
                missing.append(entry)
            else:
                levels[line] = entry.level
        return levels, missing

    def _sized(self, page: TextPage, lines: Sequence[Line]) -> dict[Line, int]:
        return {
            line: self._levels[round(line.size)]
            for line in lines
            if round(line.size) in self._levels and _LETTER.search(page.line(line))
        }


def _key(text: str) -> str:
    return _NOT_WORDS.sub("", text.casefold())


def _matches(key: str, title: str) -> bool:
    """A line is the title, or the title with its number, or its first part."""
    numbered = key.endswith(title) and len(key) - len(title) <= _LONGEST_NUMBER
    return numbered or (len(key) >= _SHORTEST_PART and title.startswith(key))


def _body_size(pages: Sequence[TextPage]) -> float:
    sizes: Counter[float] = Counter()
    for page in pages:
        for line in page.lines:
            sizes[round(line.size, 1)] += line.end - line.start
    return sizes.most_common(1)[0][0] if sizes else 0.0


def _margin_key(page: TextPage, line: Line) -> tuple[str, int]:
    return _DIGITS.sub("#", page.line(line).casefold()), round(line.bottom / 3)


def _repeated(pages: Sequence[TextPage], body: float) -> frozenset[tuple[str, int]]:
    """Running headers and footers: first and last lines that come again at the same height."""
    counts: Counter[tuple[str, int]] = Counter()
    for page in pages:
        edges = {*page.lines[:_MARGIN_LINES], *page.lines[-_MARGIN_LINES:]}
        counts.update({_margin_key(page, line) for line in edges if line.size <= _HEADING_SIZE * body})
    fewest = max(_FEWEST_REPEATS, _REPEATED_SHARE * len(pages))
    return frozenset(key for key, count in counts.items() if count >= fewest)


def _levels(pages: Sequence[TextPage], body: float) -> dict[int, int]:
    """The heading level of each size of letters, largest first; empty where sizes mean nothing."""
    large: Counter[int] = Counter()
    total = 0
    for page in pages:
        for line in page.lines:
            length = line.end - line.start
            total += length
            if line.size > _HEADING_SIZE * body and length <= _LONGEST_HEADING:
                large[round(line.size)] += length
    if not total or sum(large.values()) > _MOST_HEADINGS * total:
        return {}
    return {size: min(rank, _DEEPEST) for rank, size in enumerate(sorted(large, reverse=True), 1)}


def _paragraphs(page: TextPage, lines: Sequence[Line], levels: dict[Line, int]) -> Iterator[Block]:
    """Lines put together to headings, list items and paragraphs."""
    pitch = _pitch(lines)
    group: list[Line] = []
    for line in lines:
        if group and _breaks(page, group[-1], line, pitch, levels):
            yield _block(page, group, levels)
            group = []
        group.append(line)
    if group:
        yield _block(page, group, levels)


def _pitch(lines: Sequence[Line]) -> float:
    steps = [one.bottom - other.bottom for one, other in pairwise(lines)]
    down = [step for step in steps if step > 1]
    return median(down) if down else 0.0


def _breaks(page: TextPage, last: Line, line: Line, pitch: float, levels: dict[Line, int]) -> bool:
    """Whether a block ends between two lines."""
    if (levels.get(last), levels.get(line)) != (None, None):
        return levels.get(last) != levels.get(line) or last.bottom - line.bottom > 2.5 * line.size
    if page.text[last.end - 1] == SOFT_HYPHEN:
        return False
    if _ITEM.match(page.line(line)):
        return True
    step = last.bottom - line.bottom
    ended = bool(_SENTENCE_END.search(page.line(last)))
    if step < -1:  # another column, or another page's part: a sentence may go on there
        return ended
    larger = max(last.size, line.size) > _SAME_SIZE * min(last.size, line.size)
    return step > _PARAGRAPH_PITCH * pitch or (larger and step > 1 and ended)


def _block(page: TextPage, group: Sequence[Line], levels: dict[Line, int]) -> Block:
    start, end = group[0].start, group[-1].end
    level = levels.get(group[0])
    if level is not None:
        title = one_line(page.text[start:end].replace(SOFT_HYPHEN, ""))
        return Block("heading", start, end, level, title)
    return Block("row" if _ITEM.match(page.line(group[0])) else "text", start, end)
