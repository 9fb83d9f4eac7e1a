"""Rough English pronunciation: good enough to line a word up with its sound, not to say it.

Phones are those of the CMU dictionary, without stress.
"""

from __future__ import annotations

import unicodedata

_UNITS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen",
    "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = (
    "_", "_", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
)  # fmt: skip
_SCALES = ((1_000_000_000, "billion"), (1_000_000, "million"), (1_000, "thousand"), (100, "hundred"))
_MAX_NUMBER_DIGITS = 12
"""Longer ones are read digit by digit."""
_YEARS = range(1100, 2000)
"""Four digits here are read in pairs: nineteen eighty-four."""

_PHONES = {
    "tch": "CH", "sch": "SH", "igh": "AY", "tion": "SH AH N", "sion": "ZH AH N", "ough": "AO",
    "sh": "SH", "ch": "CH", "th": "TH", "ph": "F", "gh": "G", "wh": "W", "ck": "K", "ng": "NG", "qu": "K W",
    "kn": "N", "wr": "R", "ee": "IY", "ea": "IY", "oo": "UW", "ou": "AW", "ow": "OW", "ai": "EY", "ay": "EY",
    "oi": "OY", "oy": "OY", "au": "AO", "aw": "AO", "ie": "IY", "ar": "AA R", "er": "ER", "ir": "ER",
    "or": "AO R", "ur": "ER",
    "a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G", "h": "HH", "i": "IH", "j": "JH",
    "k": "K", "l": "L", "m": "M", "n": "N", "o": "AA", "p": "P", "q": "K", "r": "R", "s": "S", "t": "T",
    "u": "AH", "v": "V", "w": "W", "x": "K S", "y": "IY", "z": "Z",
}  # fmt: skip
_LONGEST = max(map(len, _PHONES))


def letters_to_phones(word: str) -> str:
    """Phones of a word that no dictionary has, by its spelling; never empty."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", word.lower()) if c.isascii() and c.isalpha())
    phones: list[str] = []
    while plain:
        n = next((n for n in range(_LONGEST, 0, -1) if plain[:n] in _PHONES and len(plain) >= n), 1)
        phone, plain = _PHONES[plain[:n]], plain[n:]
        # A final e is silent, and a doubled letter is one sound.
        if not (phone == "EH" and not plain and phones) and phones[-1:] != [phone]:
            phones.append(phone)
    return " ".join(phones) or "AH"


def number_words(digits: str) -> list[str]:
    """How a run of decimal digits is read: `1984` is nineteen eighty four, `007` digit by digit."""
    value = int(digits)
    if (len(digits) > 1 and int(digits[0]) == 0) or len(digits) > _MAX_NUMBER_DIGITS:
        return [_UNITS[int(d)] for d in digits]
    if value in _YEARS and value % 100:
        return [*_cardinal(value // 100), *(["oh"] if value % 100 < 10 else []), *_cardinal(value % 100)]  # noqa: PLR2004
    return _cardinal(value)


def _cardinal(value: int) -> list[str]:
    if value < len(_UNITS):
        return [_UNITS[value]]
    if value < 100:  # noqa: PLR2004
        tens, rest = divmod(value, 10)
        return [_TENS[tens], *(_cardinal(rest) if rest else [])]
    scale, name = next((s, n) for s, n in _SCALES if value >= s)
    many, rest = divmod(value, scale)
    return [*_cardinal(many), name, *(_cardinal(rest) if rest else [])]
