"""Scripts: which write no spaces, which characters belong together, how long one takes to say."""

from __future__ import annotations

from unicodedata import category

__all__ = ["is_han", "is_spacing_phrases", "is_unspaced", "joins", "weight"]

Ranges = tuple[tuple[str, str], ...]

_PHRASE_SPACED: Ranges = (("\u0e00", "\u0eff"), ("\u1000", "\u109f"), ("\u1780", "\u17ff"))
"""Thai, Lao, Burmese, Khmer."""
_HAN: Ranges = (("\u3400", "\u9fff"), ("\uf900", "\ufaff"), ("\U00020000", "\U0003ffff"))
_UNSPACED: Ranges = (*_PHRASE_SPACED, ("\u2e80", "\ua4cf"), *_HAN[1:])
_WIDE: Ranges = (*_UNSPACED, ("\uac00", "\ud7af"))
_WIDE_WEIGHT = 3
_VOWELS_BEFORE = frozenset("เแโใไເແໂໃໄ")
_VOWELS_AFTER = frozenset("ะาำๅๆຳະາໆ")
_JOINERS = frozenset("\u200c\u200d")
_MODIFIERS: Ranges = (("\U0001f3fb", "\U0001f3ff"), ("\U000e0020", "\U000e007f"))
"""Skin tones, and the letters of a flag."""


def is_unspaced(character: str) -> bool:
    """Whether it belongs to a script that writes no space between words."""
    return _within(character, _UNSPACED)


def is_spacing_phrases(character: str) -> bool:
    """Thai, Lao, Burmese and Khmer: a space there ends a phrase, as a comma does elsewhere."""
    return _within(character, _PHRASE_SPACED)


def is_han(character: str) -> bool:
    """Chinese characters; in Japanese, one after kana begins a word."""
    return _within(character, _HAN)


def joins(before: str, character: str) -> bool:
    """Whether `character` belongs to the one before it: an accent, a vowel sign, a joined emoji.

    Source: Unicode Standard Annex 29, without Hangul syllables in parts; and with the Thai and Lao vowels
    that are letters of their own there.
    """
    if character.isascii():
        return False
    if before in _VOWELS_BEFORE:
        return is_unspaced(character)
    is_mark = category(character)[0] == "M" or character in _VOWELS_AFTER or _within(character, _MODIFIERS)
    return is_mark or character in _JOINERS or (before == "\u200d" and not character.isspace())


def weight(character: str) -> int:
    """How long it takes to say, in Latin letters."""
    return _WIDE_WEIGHT if _within(character, _WIDE) else 1


def _within(character: str, ranges: Ranges) -> bool:
    return any(low <= character <= high for low, high in ranges)
