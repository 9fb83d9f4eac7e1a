"""What a person would say who reads a marked-up text aloud."""

from __future__ import annotations

import html
import re

__all__ = ["spoken"]

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
        (r"[ \t]*\[\d{1,3}(?:\s*[,;]\s*\d{1,3})*\](?!\()", ""),  # numbers of sources
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
