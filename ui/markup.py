"""Markdown from a model made harmless: it may format text, not load, submit or style anything.

A remote image in an answer would send whatever its address holds to another host as soon as it is
shown. The page's Content-Security-Policy stops that too; this keeps it readable as text.
"""

from __future__ import annotations

import re
from collections.abc import Callable

BREAK = "\u200b"
"""Zero-width space: after `<` or `!` it undoes their meaning, invisibly and reversibly."""
_ACTIVE = (
    "audio|base|body|button|canvas|embed|form|frame|frameset|html|iframe|image|img|input|link|marquee|meta|object|"
    "option|picture|script|select|source|style|svg|template|textarea|title|track|video"
)
_TAG = rf"<(?=[!?]|/?(?:{_ACTIVE})\b|/?[a-z][\w:.-]*[\s/]+[^\s/>])"
_HARMFUL = re.compile(rf"{_TAG}|!(?=\[)", re.IGNORECASE)
_CODE = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,})[^\n]*\n(?:.*?^ {0,3}(?P=fence)[`~]*[ \t]*$|.*\Z)"
    r"|(?<![\\`])(?P<ticks>`+)(?!`)[^\n]*?[^`\n](?P=ticks)(?!`)",
    re.DOTALL | re.MULTILINE,
)


def defuse(text: str) -> str:
    """Turn images into links, and tags with attributes or active tags into text, outside of code."""
    return outside_code(text, lambda prose: _HARMFUL.sub(rf"\g<0>{BREAK}", prose))


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """The text with its stretches between code blocks and code spans changed."""
    parts, end = [], 0
    for code in _CODE.finditer(text):
        parts += [change(text[end : code.start()]), code.group()]
        end = code.end()
    return "".join([*parts, change(text[end:])])


def restore(text: str) -> str:
    """What the model wrote, from what `defuse` made of it."""
    return text.replace(f"<{BREAK}", "<").replace(f"!{BREAK}", "!")
