"""Pieces of a block that fit a passage: at lines, else sentences, else words, else characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from serve_apps.documents.structure import Block

_WIDE = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\ua4cf\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Scripts written without spaces, and Hangul: about a token a character, where Latin letters share one."""
_WIDE_WEIGHT = 3

_LINES = re.compile(r"\n+")
_SENTENCES = re.compile(r"""[.!?؟۔।…]["'”’»)\]]*\s+|[。！？][」』”’]*\s*|\n+""")  # noqa: RUF001
_WORDS = re.compile(r"\s+")
"""What ends a line, a sentence, a word."""
_STEP = 32
"""Characters that a cut may move back so as not to part a letter from its marks."""
_JOINER = "\u200d"


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a block that is not cut again: `text[start:end]` of its page."""

    block: Block
    start: int
    end: int
    weight: int


def weight(text: str) -> int:
    """How much of a passage a text takes: its characters, wide ones three times."""
    return len(text) if text.isascii() else len(text) + (_WIDE_WEIGHT - 1) * len(_WIDE.findall(text))


def pieces(text: str, block: Block, limit: int) -> Iterator[Piece]:
    """The block whole if it fits, else in pieces of at most `limit` by weight, without outer white space."""
    whole = weight(text[block.start : block.end])
    if whole <= limit:
        spans: Iterator[tuple[int, int]] = iter([(block.start, block.end)])
    else:
        ladder = (_SENTENCES, _WORDS) if block.kind in ("text", "row") else (_LINES, _SENTENCES, _WORDS)
        spans = _fitting(text, block.start, block.end, limit, ladder)
    for start, end in spans:
        first, last = _trimmed(text, start, end, keep_indent=block.kind == "code")
        if first < last:
            yield Piece(block, first, last, weight(text[first:last]))


def _fitting(
    text: str, start: int, end: int, limit: int, ladder: tuple[re.Pattern[str], ...]
) -> Iterator[tuple[int, int]]:
    """Spans of at most `limit`, small neighbours put together up to it."""
    open_at, gathered = start, 0
    for first, last in _at(text, start, end, ladder[0]):
        size = weight(text[first:last])
        if gathered + size <= limit:
            gathered += size
            continue
        if open_at < first:
            yield open_at, first
        open_at, gathered = first, size
        if size > limit:
            finer = ladder[1:]
            yield from _fitting(text, first, last, limit, finer) if finer else _hard(text, first, last, limit)
            open_at, gathered = last, 0
    if open_at < end:
        yield open_at, end


def _at(text: str, start: int, end: int, boundary: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """The spans that a boundary ends, which together are the whole."""
    for found in boundary.finditer(text, start, end):
        yield start, found.end()
        start = found.end()
    if start < end:
        yield start, end


def _hard(text: str, start: int, end: int, limit: int) -> Iterator[tuple[int, int]]:
    """Cut where there is nothing to cut at, but not between a letter and its marks."""
    while start < end:
        stretch = text[start : min(start + limit, end)]
        heavy = weight(stretch)
        stop = start + (max(1, len(stretch) * limit // heavy) if heavy > limit else len(stretch))
        stop = end if stop >= end else _before_marks(text, start, stop)
        yield start, stop
        start = stop


def _before_marks(text: str, start: int, stop: int) -> int:
    for at in range(stop, max(start + 1, stop - _STEP), -1):
        if not _clings(text[at]) and text[at - 1] != _JOINER:
            return at
    return stop


def _clings(character: str) -> bool:
    """Whether it belongs to the character before: marks, joiners, selectors, skin tones."""
    return (
        character == _JOINER
        or unicodedata.category(character).startswith("M")
        or "\U0001f3fb" <= character <= "\U0001f3ff"
    )


def _trimmed(text: str, start: int, end: int, *, keep_indent: bool) -> tuple[int, int]:
    white = "\n" if keep_indent else None
    stretch = text[start:end]
    return start + len(stretch) - len(stretch.lstrip(white)), start + len(stretch.rstrip())
