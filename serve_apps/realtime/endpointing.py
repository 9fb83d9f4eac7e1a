"""When somebody has finished speaking: how long the silence must be, given what was said.

Seconds of silence that end a turn (`server_vad` ignores the words and has its own fixed time):

| eagerness    | finished | unclear | unfinished, or not known yet |
|--------------|----------|---------|------------------------------|
| high         | 0.25     | 0.5     | 1.2                          |
| medium, auto | 0.45     | 0.8     | 2.0                          |
| low          | 0.8      | 1.5     | 4.0                          |

"What time is it?" is finished, "the blue one" without a mark unclear, "tell me about the." unfinished:
recognisers put a full stop after anything, so the last words count for more than the mark. While the words
are not known there is nothing to answer either, so that waiting for them costs nobody any time.
"""

# ruff: noqa: RUF001 (marks and words of several scripts are what this module is about)

from __future__ import annotations

import re
from typing import Literal

from serve_apps.realtime.config import SemanticVad, ServerVad
from serve_apps.realtime.phrases import BACKCHANNELS, COMMANDS, consists_of, words
from serve_apps.realtime.unfinished_words import (
    ASKING,
    ENDINGS,
    FILLERS,
    NEVER_LAST,
    OPEN_ENDS,
    OPEN_PHRASES,
    QUESTION_ENDS,
    SELDOM_LAST,
    language_of,
)

Completeness = Literal["finished", "unclear", "unfinished"]

_PATIENCE_S: dict[str, dict[Completeness, float]] = {
    "high": {"finished": 0.25, "unclear": 0.5, "unfinished": 1.2},
    "medium": {"finished": 0.45, "unclear": 0.8, "unfinished": 2.0},
    "low": {"finished": 0.8, "unclear": 1.5, "unfinished": 4.0},
}
_GOES_ON = re.compile(r"(?:[,;:、，；：–—-]|\.\.+|…)[\s\"'”’)]*$")
_ASKS = re.compile(r"[?？][\s\"'”’)]*$")
_STOPS = re.compile(r"[.!。！][\s\"'”’)]*$")
_DIGITS = re.compile(r"\d+")
_SHORT_QUESTION = 2
"""Words: "who is" goes on."""
_ENDING_CHARACTERS = 4
_LAST_WORDS = 40
"""They decide, however long the turn."""
_DIGITS_OF_A_NUMBER = 7
"""Telephone, card and order numbers are read out in groups, with pauses between; most have this many."""


def is_finished(text: str) -> Completeness:
    """Judge what was said so far, as transcribed: is it a whole sentence, or does more follow?

    Knows the last words of English, German, French, Spanish, Italian, Portuguese, Chinese and Japanese;
    in other languages only the mark counts.
    """
    text = text.strip()[-_LAST_WORDS * 10 :]
    said = words(text)[-_LAST_WORDS:]
    if not said:
        return "unclear"
    if _GOES_ON.search(text) or _ends_open(said, asked=_ASKS.search(text) is not None):
        return "unfinished"
    if _ASKS.search(text) or text.endswith(ENDINGS) or consists_of(said, BACKCHANNELS, COMMANDS):
        return "finished"
    if _may_end_open(said) or not _STOPS.search(text) or len(said) == 1:
        return "unclear"
    return "finished"


def patience_s(detection: ServerVad | SemanticVad, text: str | None) -> float:
    """Seconds of silence that end the turn.

    Args:
        detection: the session's settings.
        text: what was said so far; None while the transcript is not known.
    """
    if isinstance(detection, ServerVad):
        return detection.silence_duration_ms / 1000
    eagerness = "medium" if detection.eagerness == "auto" else detection.eagerness
    return _PATIENCE_S[eagerness]["unfinished" if text is None else is_finished(text)]


def _ends_open(said: list[str], *, asked: bool) -> bool:
    """Whether the last words want others after them."""
    last = said[-1]
    if last in FILLERS or "".join(said[-_ENDING_CHARACTERS:]).endswith(OPEN_ENDS):
        return True
    if any(said[-len(phrase) :] == phrase for phrase in OPEN_PHRASES):
        return True
    if last not in NEVER_LAST[language_of(said)]:
        return _is_cut_off_number(said)
    may_ask = asked or len(said) > _SHORT_QUESTION
    return not (may_ask and last in QUESTION_ENDS and not ASKING.isdisjoint(said))


def _may_end_open(said: list[str]) -> bool:
    language = language_of(said)
    return said[-1] in NEVER_LAST[language] or said[-1] in SELDOM_LAST[language]


def _is_cut_off_number(said: list[str]) -> bool:
    """Digits read out, and too few for a telephone number: "my number is 030 12"."""
    n_groups = next((n for n, word in enumerate(reversed(said)) if not _DIGITS.fullmatch(word)), len(said))
    n_digits = sum(len(word) for word in said[len(said) - n_groups :])
    return n_groups > 1 and n_digits < _DIGITS_OF_A_NUMBER
