"""The least that is said on its own, a word, a number, a syllable sign, and how long it takes to say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from unicodedata import normalize

from serve_apps.writing import is_unspaced, joins

__all__ = ["Atom", "atoms_of", "estimated_s"]

# Seconds at normal speed, fitted to espeak-ng. Letters tell as much as syllables: over 259 English words
# either leaves 52 ms of a word's length unexplained.
_WORD_S, _LETTER_S = 0.027, 0.055
_DIGIT_S, _SIGN_S = 0.33, 0.4
_SYLLABLES_S = (("\u4e00", "\u9fff", 0.28), ("\uac00", "\ud7af", 0.18), ("\u3040", "\u30ff", 0.16))
"""Han, Hangul and kana, a character each."""
_GRAPHEME_S = 0.15
_CLAUSE_PAUSE_S, _SENTENCE_PAUSE_S = 0.26, 0.44
_CLAUSE_MARKS = frozenset(",;:—–،؛、，；：")  # noqa: RUF001 (marks of several scripts)
_SENTENCE_MARKS = frozenset(".!?…。！？؟।")  # noqa: RUF001
_SIGNS = frozenset("&%+=@€$£¥°×÷§")
"""Signs that are said as a word."""


@dataclass(frozen=True, slots=True)
class Atom:
    """One of them."""

    key: str
    """What to compare."""
    start: int
    end: int
    """Where it stands in its text."""
    say_s: float
    pause_s: float
    """After it."""


def estimated_s(spoken: str) -> float:
    """How long it takes to say at normal speed, before anything is known."""
    return sum(atom.say_s + atom.pause_s for atom in atoms_of(spoken))


def atoms_of(text: str) -> list[Atom]:
    """Take a text apart; marks and spaces belong to none."""
    spans = list(_spans(text))
    gaps = [text[end:start] for (_, end), (start, _) in pairwise(spans)]
    gaps += [text[end:] + " " for _, end in spans[-1:]]
    return [
        Atom(
            normalize("NFKC", text[start:end]).casefold(), start, end, _say_s(text[start:end]), _pause_s(gap)
        )
        for (start, end), gap in zip(spans, gaps, strict=True)
    ]


def _spans(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    while start < len(text):
        end = _atom_end(text, start)
        if end > start:
            yield start, end
        start = max(end, start + 1)


def _atom_end(text: str, start: int) -> int:
    """Where the atom ends that begins here; `start` when none does."""
    end, character = start + 1, text[start]
    if not character.isalnum():
        return end if character in _SIGNS else start
    alone = is_unspaced(character)
    while end < len(text):
        more = text[end].isalnum() and not alone and not is_unspaced(text[end])
        if not more and not joins(text[end - 1], text[end]):
            break
        end += 1
    return end


def _say_s(atom: str) -> float:
    first = atom[0]
    if first in _SIGNS:
        return _SIGN_S
    for low, high, seconds in _SYLLABLES_S:
        if low <= first <= high:
            return seconds * (1 if is_unspaced(first) else len(atom))
    if is_unspaced(first):
        return _GRAPHEME_S
    n_digits = sum(character.isdigit() for character in atom)
    return _WORD_S + _DIGIT_S * n_digits + _LETTER_S * (len(atom) - n_digits)


def _pause_s(gap: str) -> float:
    """After a word. An ASCII mark with no space behind it is inside a number or an address."""
    if gap.isascii() and not any(character.isspace() for character in gap):
        return 0.0
    if any(character in _SENTENCE_MARKS for character in gap):
        return _SENTENCE_PAUSE_S
    return _CLAUSE_PAUSE_S if any(character in _CLAUSE_MARKS for character in gap) else 0.0
