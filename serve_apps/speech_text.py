"""Cut a text into clauses while it is being written.

The splitter looks at one character at a time and decides with what came before, so the clauses do
not depend on how the text was chunked. Joining `Clause.shown` gives the text back, unchanged.
"""

# ruff: noqa: RUF001 (marks that look alike in several scripts are what this module is about)

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from serve_apps.read_aloud import spoken
from serve_apps.writing import is_han, is_spacing_phrases, is_unspaced, joins, weight

__all__ = ["Clause", "ClauseSplitter", "clauses", "spoken"]

FIRST_WEIGHT = 12
"""A first clause this long may end at a comma: higher delays the first sound, lower sounds abrupt."""
CLAUSE_WEIGHT = 60
"""Later clauses end at a comma from here on; shorter ones would chop the sentence's melody."""
MAX_WEIGHT = 300
"""A clause never grows far past this: about 20 s of speech."""
HURRIED_WORDS = 5
"""In a hurry a clause this long may end between two words."""

_BLOCK_CHARACTERS = 256
_UNSPACED_EXCESS = 60
"""How far past MAX_WEIGHT a text without spaces may go to end where a word does."""
_SENTENCE = frozenset(".!?…‼⁇⁈⁉։؟۔")
_CLAUSE = frozenset(",;:،؛፣၊") | frozenset("—–")
_FULL_SENTENCE = frozenset("。！？．｡।॥።။។")
"""Marks of scripts that write no space after a sentence."""
_FULL_CLAUSE = frozenset("，、；：､")
_CLOSERS = frozenset("\"')]}»”’›」』）】》〉*_`~")
_BLOCK_STARTS = frozenset("-*+•#>|`0123456789\n")
_REPEATERS = frozenset("ๆຯฯ")
"""A space before these ends nothing."""
_ABBREVIATIONS = frozenset(
    re.findall(
        r"\S+",
        "mr mrs ms dr prof st sr jr vs etc cf vol fig figs eq pp p ca approx dept est inc ltd co gen col sgt "
        "capt lt rev hon gov sen rep jan feb mar apr jun jul aug sep sept oct nov dec bzw usw str hr fr mme "
        "mlle env ex sig sra dra av núm",
    )
)
_BEFORE_NUMBERS = frozenset(("no", "nos", "nr", "nº", "art", "sec", "ch", "chap", "ver", "tel", "bd", "jg"))
"""Abbreviations where a number follows, sentences where anything else does."""
_BEFORE_ORDINALS = frozenset(
    ("am", "im", "vom", "zum", "beim", "der", "die", "das", "dem", "den", "des", "bis")
)
"""German: the point after the number that follows makes it an ordinal."""


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

    The first clause is short (from `FIRST_WEIGHT`), so that speech starts early. A mark inside a number,
    address or abbreviation ends nothing: a mark counts once white space follows it, and a full stop once
    it is seen what comes after that.
    """

    def __init__(self) -> None:
        self._buffer: list[str] = []
        self._weight = 0
        self._line: list[str] = []  # the current line so far, at most a few characters
        self._first = True
        self._code = False
        self._link = ""  # what closes the link or inline code that we are in
        self._newline = False  # a line ended without a mark: the next line's start decides
        self._comma_at = self._space_at = self._n_words = 0  # where a hurried clause might end

    def feed(self, delta: str) -> list[Clause]:
        """Take more text; return the clauses that it completed."""
        done = []
        for character in delta:
            if self._buffer and not joins(self._buffer[-1], character):
                end = self._end_before(character)
                if end:
                    done.append(self._cut(end))
            self._push(character)
        return done

    def hurry(self) -> list[Clause]:
        """The voice is about to fall silent: return what can be said of the clause that is being written.

        It ends at a comma, else between two words, and is none when there is too little yet.
        """
        end = self._comma_at or (self._space_at if self._n_words >= HURRIED_WORDS else 0)
        if not end or self._code or self._newline:
            return []
        return [self._cut(end)]

    def finish(self) -> list[Clause]:
        """No more text: return what is left, as one clause or none."""
        return [self._cut(len(self._buffer))] if self._buffer else []

    # ---- where a clause ends

    def _end_before(self, character: str) -> int:
        """Where the clause in the buffer ends, now that this character follows; 0 when it goes on."""
        n = len(self._buffer)
        if self._code:
            return (
                n if self._fence_closed() or (self._weight >= MAX_WEIGHT and self._buffer[-1] == "\n") else 0
            )
        if self._newline and (character == "\n" or not character.isspace()):
            return n if self._breaks_line(character) else 0
        if self._link and self._weight < MAX_WEIGHT:
            return 0
        if self._is_full(character):
            return n
        if self._buffer[-1].isspace():
            return self._end_before_spaces(character)
        return n if self._ends_at_mark(character) else 0

    def _breaks_line(self, character: str) -> bool:
        """Whether the line that begins here is no continuation of the one before."""
        is_indented = self._buffer[-1] != "\n"
        return character in _BLOCK_STARTS or (_is_block("".join(self._line)) and not is_indented)

    def _ends_at_mark(self, character: str) -> bool:
        """Whether the mark just before this character is enough to know."""
        last, before = self._last_mark(len(self._buffer))
        if last in _FULL_SENTENCE or last in _FULL_CLAUSE:
            return self._after_full_mark(character) and (last in _FULL_SENTENCE or self._is_enough())
        if is_unspaced(character) and is_unspaced(before):
            return last in _SENTENCE or (last in _CLAUSE and self._is_enough())
        if character == "\n" and last in _SENTENCE:
            return self._is_sentence(last, len(self._buffer))
        return character.isspace() and last in _CLAUSE and self._is_enough()

    def _end_before_spaces(self, character: str) -> int:
        """The same, where spaces lie between the mark and this character: it tells more."""
        if character.isspace() and character != "\n":
            return 0
        end = len(self._buffer)
        while end and self._buffer[end - 1].isspace():
            end -= 1
        last, _ = self._last_mark(end)
        if last in _SENTENCE and self._is_sentence(last, end) and not self._goes_on(character, end):
            return end
        is_phrase = is_spacing_phrases(last) and not character.isdigit() and character not in _REPEATERS
        return end if is_phrase and self._is_enough() else 0

    def _is_enough(self) -> bool:
        return self._weight >= (FIRST_WEIGHT if self._first else CLAUSE_WEIGHT)

    def _after_full_mark(self, character: str) -> bool:
        return character not in _CLOSERS and character not in _FULL_SENTENCE

    def _is_sentence(self, last: str, end: int) -> bool:
        """Whether the mark before `end` may end a sentence."""
        if last not in ".…":
            return True
        tail = "".join(self._buffer[max(0, end - 24) : end]).rstrip("\"')]}»”’*_`~")
        if tail.endswith(("..", "…")):
            return self._is_enough()
        word = _last_word(tail)
        before = tail.removesuffix(".").removesuffix(word).rstrip()
        if word.isdigit() and len(word) <= 2:  # noqa: PLR2004 (longer ones number no list)
            return bool(before) and before[-1] not in ".:;!?" and _last_word(before) not in _BEFORE_ORDINALS
        is_initial = len(word) == 1 and word.isalpha() and word != "i"
        return not (word in _ABBREVIATIONS or is_initial or _is_dotted(word))

    def _goes_on(self, character: str, end: int) -> bool:
        """Whether what follows a mark belongs to its sentence."""
        if character.isdigit():
            return _last_word("".join(self._buffer[max(0, end - 8) : end])) in _BEFORE_NUMBERS
        return character.islower() and not self._is_enough()

    def _last_mark(self, end: int) -> tuple[str, str]:
        """The character before `end` that closes no quotation, and the one before it; empty for none."""
        for i in range(end - 1, max(-1, end - 5), -1):
            if self._buffer[i] not in _CLOSERS:
                return "" if self._buffer[i].isspace() else self._buffer[i], self._buffer[i - 1] if i else ""
        return "", ""

    def _is_full(self, character: str) -> bool:
        over = self._weight - MAX_WEIGHT
        if over < 0:
            return False
        if character.isspace() or over >= MAX_WEIGHT:
            return True
        begins_word = is_han(character) and not is_han(self._buffer[-1])
        return is_unspaced(character) and (begins_word or over >= _UNSPACED_EXCESS)

    def _fence_closed(self) -> bool:
        lines = "".join(self._buffer[-12:]).split("\n")
        opened_before = "\n" in self._buffer[:-1]
        return opened_before and lines[-1] == "" and len(lines) > 1 and lines[-2].strip() == "```"

    # ---- the clause so far

    def _push(self, character: str) -> None:
        self._count(character)
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

    def _count(self, character: str) -> None:
        n = len(self._buffer)
        last = self._buffer[-1] if n else " "
        if not self._link:
            mark, _ = self._last_mark(n)
            is_space = character.isspace() and not last.isspace()
            is_comma = is_space and (mark in _CLAUSE or is_spacing_phrases(last))
            if (is_comma or last in _FULL_CLAUSE) and self._weight >= FIRST_WEIGHT:
                self._comma_at = n
            elif is_space and mark.isalnum():
                self._space_at, self._n_words = n, self._n_words + 1
        self._weight += 0 if joins(last, character) else weight(character)
        self._buffer.append(character)

    def _track_markup(self, character: str) -> None:
        if character == "`" and "".join(self._line).strip() == "```":
            self._code, self._link = True, ""
        elif self._link:
            self._link = "" if character == self._link else self._link
        elif character in "[`":
            self._link = {"[": "]", "`": "`"}[character]
        elif character == "(" and self._buffer[-2:-1] == ["]"]:
            self._link = ")"

    def _cut(self, end: int) -> Clause:
        shown, rest = "".join(self._buffer[:end]), self._buffer[end:]
        clause = Clause(shown, "" if self._code else spoken(shown))
        if self._code and self._fence_closed():
            self._code = False
        self._first = self._first and not clause.spoken
        if self._newline:
            self._line = []
        self._newline = False
        self._buffer, self._weight = [], 0
        self._comma_at = self._space_at = self._n_words = 0
        for character in rest:
            self._count(character)
        return clause


def _last_word(text: str) -> str:
    return re.split(r"[\s(\[\"'“*_/]", text)[-1].rstrip(".").lower()


def _is_dotted(word: str) -> bool:
    """An abbreviation such as `e.g`, `u.s` or `ph.d`."""
    return re.fullmatch(r"(?:[^\W\d_]{1,2}\.)+[^\W\d_]{1,2}", word) is not None


def _is_block(line: str) -> bool:
    return re.match(r"\s*(?:#{1,6}\s|[-*+•]\s|\d+[.)]\s|>|\|)", line) is not None
