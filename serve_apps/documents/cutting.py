"""From pages to passages: stretches of one page, about as long as the embedding model reads well.

Sections (what stands under one heading) are kept apart where they are long enough, and put together where
they are short; within them, blocks are packed whole, and cut at lines, sentences, words and at last
characters where they are too long. Everything is one pass: 20 MB take seconds.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from serve_apps.documents.splitting import Piece, pieces
from serve_apps.documents.structure import Block, StructuredPage
from serve_apps.wire_knowledge import Passage

_LONGEST_PATH = 160
"""Characters of headings that are embedded with a passage: the inner ones say most."""
_SLACK = 1.15
"""A section that is a little too long stays whole rather than leaving a crumb."""
_SMALL = 0.25
"""A section shorter than this share of a passage may be joined by its neighbour."""

_STEP = " › "  # noqa: RUF001  # as pages show a path
_SOFT_HYPHEN = re.compile("\u00ad\\s*")
_SPACES = re.compile(r"\s+")
_LINE_ENDS = re.compile(r"[^\S\n]+$", re.MULTILINE)
_LIGATURES = dict(zip("ﬀﬁﬂﬃﬄﬅﬆ", ("ff", "fi", "fl", "ffi", "ffl", "st", "st"), strict=True))
_LIGATURE = re.compile("[ﬀ-ﬆ]")
"""One letter to a font, several to a reader who searches."""
_LEADERS = re.compile(r"(?: ?\.){5,}")
"""The dots from a title to its page's number."""
_WORD = re.compile(r"\w")
_NOT_WORDS = re.compile(r"[\W_]+")


@dataclass(slots=True)
class _Section:
    """What stands under one heading on one page."""

    page: StructuredPage
    path: tuple[str, ...]
    pieces: list[Piece] = field(default_factory=list)
    weight: int = 0
    has_body: bool = False

    def take(self, found: Iterable[Piece], *, body: bool) -> None:
        for piece in found:
            self.pieces.append(piece)
            self.weight += piece.weight
        self.has_body = self.has_body or body


def cut(pages: Iterable[StructuredPage], passage_characters: int) -> tuple[Passage, ...]:
    """Cut pages into passages, in reading order, without repeating any of the text.

    Args:
        pages: in order, with their blocks.
        passage_characters: about how long a passage is; scripts whose characters are words of their own
            (Chinese, Japanese, …) count three times, as they do for a model.
    """
    sections = _joined(_with_bodies(_sections(pages, passage_characters)), passage_characters)
    groups = (
        (section, group) for section in sections for group in _packed(section.pieces, passage_characters)
    )
    texts = ((section, group, _text(section.page.text, group)) for section, group in groups)
    return tuple(
        Passage(
            index=index,
            text=text,
            page=section.page.number,
            start=group[0].start,
            end=group[-1].end,
            headings=_path(section.path, group),
        )
        for index, (section, group, text) in enumerate(item for item in texts if _WORD.search(item[2]))
    )


def embedded_text(passage: Passage, document_name: str) -> str:
    """What is embedded for a passage: where it stands, in short, and what it says.

    The document's name stands in for headings where there are none: beside them it made search worse
    (MRR 0.94 instead of 0.97, 24 questions to 1,012 passages of 44 documents).
    """
    begins = passage.text[:_LONGEST_PATH].lstrip("# ")
    path = [heading for heading in passage.headings if not begins.startswith(heading)]
    while len(path) > 1 and sum(map(len, path)) > _LONGEST_PATH:
        path.pop(0)
    where = _STEP.join(heading[:_LONGEST_PATH] for heading in path)
    if not passage.headings:
        where = (
            PurePath(document_name.replace("\\", "/")).stem.replace("_", " ").replace("-", " ")[:60].strip()
        )
    return f"{where}\n{passage.text}" if where else passage.text


def fingerprint(text: str) -> str:
    """The same for texts that differ in case, punctuation and white space only."""
    return hashlib.blake2b(_NOT_WORDS.sub(" ", text.casefold()).strip().encode(), digest_size=16).hexdigest()


def distinct(passages: Sequence[Passage]) -> tuple[Passage, ...]:
    """The passages without those that say what an earlier one says, numbered anew."""
    first: dict[str, Passage] = {}
    for passage in passages:
        first.setdefault(fingerprint(passage.text), passage)
    return tuple(_renumbered(passage, index) for index, passage in enumerate(first.values()))


def _renumbered(passage: Passage, index: int) -> Passage:
    return Passage(
        index=index,
        text=passage.text,
        page=passage.page,
        start=passage.start,
        end=passage.end,
        headings=passage.headings,
        start_s=passage.start_s,
        end_s=passage.end_s,
    )


def _sections(pages: Iterable[StructuredPage], limit: int) -> Iterator[_Section]:
    path: list[Block] = []
    for page in pages:
        path = [] if page.fresh else path
        section = _Section(page, _titles(path))
        for block in page.blocks:
            if block.kind == "heading":
                yield section
                path = [above for above in path if above.level < block.level] + [block]
                section = _Section(page, _titles(path))
            if block.start < block.end:
                section.take(pieces(page.text, block, limit), body=block.kind != "heading")
        yield section


def _titles(path: Sequence[Block]) -> tuple[str, ...]:
    return tuple(heading.title for heading in path)


def _with_bodies(sections: Iterable[_Section]) -> Iterator[_Section]:
    """Put headings without a text of their own before what stands under them; drop empty sections."""
    waiting: _Section | None = None
    for section in sections:
        if not section.pieces:
            continue
        if waiting is not None:
            if section.path[: len(waiting.path)] != waiting.path:
                yield waiting
            elif section.page is waiting.page:
                section.pieces[:0] = waiting.pieces
                section.weight += waiting.weight
        waiting = None if section.has_body else section
        if section.has_body:
            yield section
    if waiting is not None:
        yield waiting


def _joined(sections: Iterable[_Section], limit: int) -> Iterator[_Section]:
    """Put short neighbours of one page together."""
    last: _Section | None = None
    for section in sections:
        if last is not None and _belong(last, section, limit):
            last.take(section.pieces, body=section.has_body)
            last.path = _shared(last.path, section.path)
            continue
        if last is not None:
            yield last
        last = section
    if last is not None:
        yield last


def _belong(one: _Section, other: _Section, limit: int) -> bool:
    small = min(one.weight, other.weight) < _SMALL * limit
    related = bool(_shared(one.path, other.path)) or len(one.path) <= 1 >= len(other.path)
    return one.page is other.page and small and related and one.weight + other.weight <= limit


def _shared(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    n_shared = next((n for n, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), None)
    return one[: min(len(one), len(other)) if n_shared is None else n_shared]


def _packed(found: list[Piece], limit: int) -> Iterator[list[Piece]]:
    """Groups of neighbouring pieces of about equal weight, none over the limit by more than a little."""
    total = sum(piece.weight for piece in found)
    aim = total / max(1, round(total / limit + 0.35)) if total > _SLACK * limit else total
    group: list[Piece] = []
    gathered = 0
    for piece in found:
        if group and (gathered >= aim or gathered + piece.weight > _SLACK * limit):
            yield group
            group, gathered = [], 0
        group.append(piece)
        gathered += piece.weight
    if group:
        yield group


def _path(path: tuple[str, ...], group: Sequence[Piece]) -> tuple[str, ...]:
    """The headings, and the table's header where the passage begins in the middle of a table."""
    columns = group[0].block.columns
    return (*path, columns) if _WORD.search(columns) else path


def _text(page: str, group: Sequence[Piece]) -> str:
    parts: list[str] = []
    for before, piece in zip([None, *group[:-1]], group, strict=True):
        if before is not None:
            parts.append(_between(page, before, piece))
        parts.append(_tidy(page[piece.start : piece.end], piece.block.kind))
    return "".join(parts).strip("\n")


def _between(page: str, before: Piece, piece: Piece) -> str:
    if before.block is not piece.block:
        return "\n" if before.block.kind == "row" == piece.block.kind else "\n\n"
    gap = page[before.end : piece.start]
    if piece.block.kind == "text":
        return " " if gap else ""
    return gap


def _tidy(text: str, kind: str) -> str:
    if kind == "code":
        return text
    text = _SOFT_HYPHEN.sub("", text)
    text = _LIGATURE.sub(lambda found: _LIGATURES[found[0]], text)
    if kind == "lines":
        return _LINE_ENDS.sub("", text)
    return _LEADERS.sub(" …", _SPACES.sub(" ", text)).strip()


__all__ = ["cut", "distinct", "embedded_text", "fingerprint"]
