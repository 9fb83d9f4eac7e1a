"""Captions: when each word of an answer, as it is shown, is heard.

What is shown and what is said differ (markup, addresses, signs), and an engine tells word times of what it
said, or nothing. Both texts are taken apart into atoms, the least that is said on its own: a word, a syllable
sign, a number. The spoken atoms get times, from the engine or by their length; the shown ones find theirs
among them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from unicodedata import category

from serve_apps.realtime.speech_atoms import Atom, atoms_of, estimated_s
from serve_apps.wire import Word
from serve_apps.writing import is_han, is_unspaced

__all__ = ["CaptionWord", "caption_words", "estimated_s"]

_QUOTES = frozenset("\"'")
_HAN_A_WORD, _GRAPHEMES_A_WORD = 2, 4
"""Longest caption in scripts without spaces: Han signs in a row, signs at all."""
_FILLER = "\ue000"
"""Stands for a character of markup: no space, not said, not shown."""


@dataclass(frozen=True, slots=True)
class CaptionWord:
    """A word, or what comes closest in a script without spaces."""

    text: str
    """As shown, with its punctuation, without markup."""
    start_s: float
    end_s: float
    """In seconds from the clause's first sample."""
    shown_end: int
    """Where it ends: `shown[:shown_end]` was heard when this word has been played."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """Atoms that are shown as one word, and where it stands in the text."""

    first: int
    last: int
    start: int
    end: int


def caption_words(
    shown: str, spoken: str, marks: Sequence[Word], duration_s: float
) -> tuple[CaptionWord, ...]:
    """The words of a clause as they are shown, with times.

    Args:
        shown: the clause as written.
        spoken: what is said of it; empty when nothing is.
        marks: the engine's times of words of `spoken`, from the clause's first sample, as many as are known;
            none: everything is estimated.
        duration_s: how long the clause takes, or probably will.

    Returns:
        In order, times rising and within the duration; none when nothing is said.
    """
    duration_s = max(0.0, duration_s)
    said, masked = atoms_of(spoken), _masked(shown)
    atoms = atoms_of(masked)
    if not said or not atoms:
        return ()
    times_s = _times_s(said, _anchors(said, marks, duration_s), duration_s)
    ranges = _ranges(atoms, said)
    words = []
    for piece in _pieces(masked, atoms):
        start_s, end_s = _span_s(times_s, ranges[piece.first][0], ranges[piece.last][1])
        text = masked[piece.start : piece.end].replace(_FILLER, "").strip()
        words.append(CaptionWord(text, start_s, end_s, piece.end))
    return tuple(words)


# ---- times of what is said


def _anchors(said: list[Atom], marks: Sequence[Word], duration_s: float) -> dict[int, float]:
    """When some of the atoms begin, as the engine tells: rising, and within the duration."""
    known = [
        (a.key, mark.start_s if not i else None) for mark in marks for i, a in enumerate(atoms_of(mark.text))
    ]
    anchors, latest_s = {0: 0.0}, 0.0
    for a, b, n in _matches([atom.key for atom in said], [key for key, _ in known]):
        for i in range(n):
            start_s = known[b + i][1]
            if start_s is not None:
                latest_s = min(max(start_s, latest_s), duration_s)
                anchors[a + i] = latest_s
    return anchors


def _times_s(said: list[Atom], anchors: dict[int, float], duration_s: float) -> list[tuple[float, float]]:
    """Start and end of each atom: between two anchors they share the time by their length."""
    times_s: list[tuple[float, float]] = []
    for (i, from_s), (j, to_s) in pairwise([*sorted(anchors.items()), (len(said), duration_s)]):
        stretch = said[i:j]
        scale = (to_s - from_s) / sum(atom.say_s + atom.pause_s for atom in stretch)
        at_s = from_s
        for atom in stretch:
            times_s.append((at_s, min(to_s, at_s + atom.say_s * scale)))
            at_s = min(to_s, at_s + (atom.say_s + atom.pause_s) * scale)
    return times_s


def _span_s(times_s: list[tuple[float, float]], first: int, end: int) -> tuple[float, float]:
    """The time of some atoms; of none, the moment before the next one."""
    if first < end:
        return times_s[first][0], times_s[end - 1][1]
    at_s = times_s[first][0] if first < len(times_s) else times_s[-1][1]
    return at_s, at_s


# ---- what is shown, beside what is said


def _ranges(shown: list[Atom], said: list[Atom]) -> list[tuple[int, int]]:
    """For each shown atom the said ones that stand for it; an empty range when it is not said."""
    shown_keys, said_keys = [a.key for a in shown], [a.key for a in said]
    if shown_keys == said_keys:  # the usual case; a matcher is slow where a text repeats itself
        return [(i, i + 1) for i in range(len(said))]
    ranges: list[tuple[int, int]] = []
    matcher = SequenceMatcher(None, shown_keys, said_keys, autojunk=False)
    for _, a_start, a_end, b_start, b_end in matcher.get_opcodes():
        n, n_said = a_end - a_start, b_end - b_start
        ranges += [(b_start + i * n_said // n, b_start + (i + 1) * n_said // n) for i in range(n)]
        if not n and ranges:
            ranges[-1] = (ranges[-1][0], b_end)
    return ranges


def _matches(a: list[str], b: list[str]) -> list[tuple[int, int, int]]:
    if a == b:
        return [(0, 0, len(a))]
    return list(SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks())


_MASKS = tuple(
    (re.compile(pattern, re.MULTILINE), stand_in)
    for pattern, stand_in in (
        (r"^[ \t]*(?:[-*+•]\s+(?:\[[ xX]\]\s+)?|#{1,6}\s+|(?:>\s?)+)", " "),
        (r"^[ \t]*\|?[\s:|-]*-{3}[\s:|-]*$|\|", " "),
        (r"\]\([^)]*\)|!?\[(?=[^\]]*\]\()", _FILLER),
        (r"</?[a-zA-Z][^<>]*>", " "),
        (r"`+|~~|\*+|(?<!\w)_+(?=\w)|(?<=\w)_+(?!\w)", _FILLER),
    )
)


def _masked(shown: str) -> str:
    """The text with its markup blotted out, every character at its old place."""
    for pattern, stand_in in _MASKS:
        shown = pattern.sub(lambda found, by=stand_in: by * len(found.group()), shown)  # type: ignore[misc]
    return shown


def _pieces(text: str, atoms: list[Atom]) -> Iterator[_Piece]:
    """Atoms with no space between them are one word; in scripts without spaces a few of them are."""
    firsts = [0, *_boundaries(text, atoms), len(atoms)]
    starts = [_split(text[: atoms[0].start])[1]]
    ends = []
    for first in firsts[1:-1]:
        gap_start = atoms[first - 1].end
        before, after = _split(text[gap_start : atoms[first].start])
        ends.append(gap_start + before)
        starts.append(gap_start + after)
    for (first, after), start, end in zip(pairwise(firsts), starts, [*ends, len(text)], strict=True):
        yield _Piece(first, after - 1, start, end)


def _boundaries(text: str, atoms: list[Atom]) -> Iterator[int]:
    """The atoms that begin a word, but the first."""
    n_joined = 1
    for i, (before, atom) in enumerate(pairwise(atoms), 1):
        gap, last, first = text[before.end : atom.start], text[before.start], text[atom.start]
        ends = any(character.isspace() for character in gap)
        if is_unspaced(last) or is_unspaced(first):
            ends = bool(gap) or is_unspaced(last) != is_unspaced(first) or _ends_here(last, first, n_joined)
        n_joined += 1
        if ends:
            n_joined = 1
            yield i


def _ends_here(last: str, first: str, n_joined: int) -> bool:
    """Whether a caption of `n_joined` signs ends between two of them: Han after kana begins a word."""
    if is_han(first) and (not is_han(last) or n_joined >= _HAN_A_WORD):
        return True
    return n_joined >= _GRAPHEMES_A_WORD


def _split(gap: str) -> tuple[int, int]:
    """Where in the signs between two words the first word ends, and where the second begins."""
    spaces = [i for i, character in enumerate(gap) if character.isspace()]
    if spaces:
        return len(gap[: spaces[-1]].rstrip()), spaces[-1] + 1
    opens = len(gap)
    while opens and _opens(gap[opens - 1]):
        opens -= 1
    return opens, opens


def _opens(character: str) -> bool:
    return category(character) in {"Ps", "Pi"} or character in _QUOTES
