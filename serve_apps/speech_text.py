"""From written to spoken: cut a growing text into clauses, and say markup as a reader would.

The splitter looks at one character at a time and decides with what came before, so the clauses do
not depend on how the text was chunked. Joining `Clause.shown` gives the text back, unchanged.
"""

# ruff: noqa: RUF001 (marks that look alike in several scripts are what this module is about)

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from unicodedata import category

__all__ = ["Clause", "ClauseSplitter", "clauses", "is_unspaced", "joins", "spoken"]

FIRST_WEIGHT = 12
"""A first clause this long may end at a comma: higher delays the first sound, lower sounds abrupt."""
CLAUSE_WEIGHT = 60
"""Later clauses end at a comma from here on; shorter ones would chop the sentence's melody."""
MAX_WEIGHT = 300
"""A clause never grows past this: about 20 s of speech."""

_BLOCK_CHARACTERS = 256
_SENTENCE = frozenset(".!?…‼⁇⁈⁉։؟۔")
_CLAUSE = frozenset(",;:،؛፣၊") | frozenset("—–")
_FULL_SENTENCE = frozenset("。！？．｡।॥።။។")
"""Marks of scripts that write no space after a sentence."""
_FULL_CLAUSE = frozenset("，、；：､")
_CLOSERS = frozenset("\"')]}»”’›」』）】》〉*_`~")
_BLOCK_STARTS = frozenset("-*+•#>|`0123456789\n")
_ABBREVIATIONS = frozenset(
    re.findall(
        r"\S+",
        "mr mrs ms dr prof st sr jr vs etc e.g i.e cf vol fig figs eq pp p ca approx dept est inc ltd co "
        "gen col sgt capt lt rev hon gov sen rep jan feb mar apr jun jul aug sep sept oct nov dec a.m p.m "
        "u.s u.k z.b d.h bzw usw str nr hr fr mme mlle env ex sig sra dra av núm",
    )
)
_SPACED_SCRIPTS = (("\u0e00", "\u0eff"), ("\u1000", "\u109f"), ("\u1780", "\u17ff"))
"""Thai, Lao, Burmese and Khmer: a space there ends a phrase, as a comma does elsewhere."""
_WIDE = (
    ("\u0e00", "\u0eff"),
    ("\u1000", "\u109f"),
    ("\u1780", "\u17ff"),
    ("\u2e80", "\ua4cf"),
    ("\uac00", "\ud7af"),
)
_UNSPACED = (*_SPACED_SCRIPTS, ("\u2e80", "\ua4cf"), ("\uf900", "\ufaff"), ("\U00020000", "\U0003ffff"))
_VOWELS_BEFORE = frozenset("เแโใไເແໂໃໄ")
_VOWELS_AFTER = frozenset("ะาำๅๆຳະາໆ")
_JOINERS = frozenset("\u200c\u200d")
_MODIFIERS = (("\U0001f3fb", "\U0001f3ff"), ("\U000e0020", "\U000e007f"))
"""Skin tones, and the letters of a flag."""
_WIDE_WEIGHT = 3
"""One character of these scripts takes about as long to say as three Latin ones."""


@dataclass(frozen=True, slots=True)
class Clause:
    """A stretch of text that is spoken in one go."""

    shown: str
    """The text as it was written, with its white space and markup."""
    spoken: str
    """What to say; empty when there is nothing, as in a block of code."""


def clauses(text: str) -> Iterator[Clause]:
    """Cut a whole text, lazily: the same clauses as a `ClauseSplitter` gives for it."""
    splitter = ClauseSplitter()
    for start in range(0, len(text), _BLOCK_CHARACTERS):
        yield from splitter.feed(text[start : start + _BLOCK_CHARACTERS])
    yield from splitter.finish()


class ClauseSplitter:
    """Cuts a text into clauses while it is being written.

    The first clause is short (from `FIRST_WEIGHT`), so that speech starts early. A mark inside a
    number, address or abbreviation ends nothing: a mark counts once white space follows it.
    """

    def __init__(self) -> None:
        self._buffer: list[str] = []
        self._weight = 0
        self._line: list[str] = []  # the current line so far, at most a few characters
        self._first = True
        self._code = False
        self._link = ""  # what closes the link or inline code that we are in
        self._newline = False  # a line ended without a mark: the next line's start decides

    def feed(self, delta: str) -> list[Clause]:
        """Take more text; return the clauses that it completed."""
        done = []
        for character in delta:
            if self._ends_before(character):
                done.append(self._cut())
            self._push(character)
        return done

    def finish(self) -> list[Clause]:
        """No more text: return what is left, as one clause or none."""
        return [self._cut()] if self._buffer else []

    def _ends_before(self, character: str) -> bool:
        if not self._buffer:
            return False
        if self._code:
            return self._fence_closed() or (self._weight >= MAX_WEIGHT and self._buffer[-1] == "\n")
        if self._newline and (character == "\n" or not character.isspace()):
            return character in _BLOCK_STARTS or _is_block("".join(self._line))
        if self._link and self._weight < MAX_WEIGHT:
            return False
        return self._ends_at_mark(character) or self._is_full(character)

    def _ends_at_mark(self, character: str) -> bool:
        last = self._last_mark()
        enough = self._weight >= (FIRST_WEIGHT if self._first else CLAUSE_WEIGHT)
        if last in _FULL_SENTENCE or last in _FULL_CLAUSE:
            return self._after_full_mark(character) and (last in _FULL_SENTENCE or enough)
        if not character.isspace() or not last:
            return False
        if last in _SENTENCE:
            return self._ends_sentence(last, enough=enough)
        return enough and (last in _CLAUSE or _within(last, _SPACED_SCRIPTS))

    def _after_full_mark(self, character: str) -> bool:
        return character not in _CLOSERS and character not in _FULL_SENTENCE

    def _ends_sentence(self, last: str, *, enough: bool) -> bool:
        if last != ".":
            return True
        tail = "".join(self._buffer[-24:])
        if tail.endswith(("..", "..”", '.."')):
            return enough
        word = re.split(r"[\s(\[\"'“*_/]", tail.rstrip("\"')]}»”’*_`~"))[-1].rstrip(".").lower()
        is_initial = len(word) == 1 and word.isalpha() and word != "i"
        is_list_number = word.isdigit() and "".join(self._line).strip(" .)") == word
        return not (word in _ABBREVIATIONS or is_initial or is_list_number)

    def _last_mark(self) -> str:
        for character in reversed(self._buffer[-4:]):
            if character not in _CLOSERS:
                return "" if character.isspace() else character
        return ""

    def _is_full(self, character: str) -> bool:
        if self._weight < MAX_WEIGHT:
            return False
        return character.isspace() or self._weight >= 2 * MAX_WEIGHT or _within(character, _WIDE)

    def _fence_closed(self) -> bool:
        lines = "".join(self._buffer[-12:]).split("\n")
        opened_before = "\n" in self._buffer[:-1]
        return opened_before and lines[-1] == "" and len(lines) > 1 and lines[-2].strip() == "```"

    def _push(self, character: str) -> None:
        self._buffer.append(character)
        self._weight += _WIDE_WEIGHT if _within(character, _WIDE) else 1
        if character == "\n":
            self._newline = True
            self._link = ""
            return
        if self._newline and not character.isspace():
            self._newline = False
            self._line = []
        if len(self._line) < 16:  # noqa: PLR2004 (enough to know a list item or a fence)
            self._line.append(character)
        self._track_markup(character)

    def _track_markup(self, character: str) -> None:
        if character == "`" and "".join(self._line).strip() == "```":
            self._code, self._link = True, ""
        elif self._link:
            self._link = "" if character == self._link else self._link
        elif character in "[`":
            self._link = {"[": "]", "`": "`"}[character]
        elif character == "(" and self._buffer[-2:-1] == ["]"]:
            self._link = ")"

    def _cut(self) -> Clause:
        shown = "".join(self._buffer)
        clause = Clause(shown, "" if self._code else spoken(shown))
        if self._code and self._fence_closed():
            self._code = False
        self._first = self._first and not clause.spoken
        self._buffer, self._weight = [], 0
        if self._newline:
            self._line = []
        self._newline = False
        return clause


def is_unspaced(character: str) -> bool:
    """Whether it belongs to a script that writes no space between words."""
    return _within(character, _UNSPACED)


def joins(before: str, character: str) -> bool:
    """Whether `character` belongs to the one before it: an accent, a vowel sign, a joined emoji.

    Source: Unicode Standard Annex 29, without Hangul syllables in parts; and with the Thai and Lao vowels
    that are letters of their own there.
    """
    if before in _VOWELS_BEFORE:
        return is_unspaced(character)
    is_mark = category(character)[0] == "M" or character in _VOWELS_AFTER or _within(character, _MODIFIERS)
    return is_mark or character in _JOINERS or (before == "\u200d" and not character.isspace())


def _within(character: str, ranges: tuple[tuple[str, str], ...]) -> bool:
    return any(low <= character <= high for low, high in ranges)


def _is_block(line: str) -> bool:
    return re.match(r"\s*(?:#{1,6}\s|[-*+•]\s|\d+[.)]\s|>|\|)", line) is not None


# Order matters: what a rule leaves behind is what the next one sees.
_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.MULTILINE), said)
    for pattern, said in (
        (r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\ufeff\ud800-\udfff]", ""),
        (r"^\s*(?:[-*_=]\s*){3,}$", ""),  # rules, and the line below a heading
        (r"^\s*\|?[\s:|-]*-{3}[\s:|-]*$", ""),  # the line below a table's head
        (r"^\s*\|\s*|\s*\|\s*$", ""),
        (r"^\s*#{1,6}\s+", ""),
        (r"^\s*(?:>\s?)+", ""),
        (r"^\s*[-*+•]\s+(?:\[[ xX]\]\s+)?", ""),
        (r"\s\|\s", ", "),
        (r"!?\[([^\]]*)\]\([^)]*\)", r"\1"),
        (r"<(https?://[^>\s]+|[^>\s]+@[^>\s]+)>", r"\1"),
        (r"</?[a-zA-Z][^<>]*>", " "),
        (r"\bhttps?://(?:www\.)?([^\s/?#)\]]*[\w])[^\s)\]]*?(?=[.,;:!?]*(?:[\s)\]]|$))", r"\1"),
        (r"`+|~~|\*{2,3}", ""),
        (r"(?<!\w)[*_]+(?=[\w\"'“(¿¡])|(?<=[\w.,;:!?)\"'”])[*_]+(?!\w)", ""),
        (r"[\U0001f000-\U0001faff\u2600-\u27bf\u2b50\u2b55\ufe0f\u200d\u20e3]", ""),
        (r"\s+(?=[\s.,](?:\s|$))", ""),
        (r"\s+", " "),
    )
)


def spoken(shown: str) -> str:
    """What a person would say who reads this aloud: no markup, no emoji, an address as its host.

    Empty when nothing can be said: white space, rules, marks alone.
    """
    said = html.unescape(shown)
    for pattern, replacement in _RULES:
        said = pattern.sub(replacement, said)
    said = said.strip()
    return said if any(character.isalnum() for character in said) else ""
