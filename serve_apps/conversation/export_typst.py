"""A process of its own that sets a PDF: `python -m serve_apps.conversation.export_typst`, data in, PDF out.

What it is given comes from models and strangers, so it runs where a time limit can end it.
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Iterable
from typing import Any

import typst

from serve_apps.settings import ASSETS

PLACEHOLDER = "\N{WHITE SQUARE}"
"""Stands for a character that no font here has."""
_UNASSIGNED = "\U0010fffd"
"""No font has it: its glyph is the one for missing characters."""
_PROBE = b"""#set page(width: auto, height: auto, margin: 0pt)
#set text(font: "Libertinus Serif")
#for piece in json(bytes(sys.inputs.data)) { block(text(piece)) }
"""
_GLYPH = re.compile(r'<use xlink:href="#(\w+)"')
_SURE = re.compile(r"[\s\u0020-\u024f\u2010-\u2027]")
"""Latin letters and marks, which the fonts within typst have."""
_UNDRAWN = {"Mn", "Mc", "Me", "Cc", "Cf"}
"""Marks on other characters, and controls."""


def pdf(data: dict[str, Any]) -> bytes:
    """The conversation as a PDF.

    Args:
        data: as `export_pdf.document` makes it; texts are never read as typst's code.
    """
    missing = missing_in(_characters(data))
    if missing:
        data = _replaced(data, dict.fromkeys(map(ord, missing), PLACEHOLDER))
        data["notice"] = _notice(missing)
    template = (ASSETS / "conversation.typ").read_bytes()
    made = typst.Compiler(template, sys_inputs={"data": json.dumps(data)}).compile(format="pdf")
    if not isinstance(made, bytes):
        raise TypeError(f"typst returned {type(made).__name__}, not a PDF")
    return made


def missing_in(characters: Iterable[str]) -> list[str]:
    """Those that no font here can draw: they get the glyph of a character that nobody has."""
    asked = [c for c in characters if not _SURE.match(c) and unicodedata.category(c) not in _UNDRAWN]
    if not asked:
        return []
    probe = [_UNASSIGNED, "X", *(piece for character in asked for piece in (character, "X"))]
    svg = typst.Compiler(_PROBE, sys_inputs={"data": json.dumps(probe)}).compile(format="svg")
    drawn = _GLYPH.findall(svg.decode() if isinstance(svg, bytes) else "")
    nothing, between = drawn[0], drawn[1]
    found: list[list[str]] = [[]]
    for glyph in drawn[2:]:
        if glyph == between:
            found.append([])
        else:
            found[-1].append(glyph)
    return [character for character, glyphs in zip(asked, found, strict=False) if nothing in glyphs]


def _characters(value: Any) -> list[str]:
    return sorted(set(json.dumps(value, ensure_ascii=False)))


def _replaced(value: Any, placeholders: dict[int, str]) -> Any:
    if isinstance(value, str):
        return value.translate(placeholders)
    if isinstance(value, list):
        return [_replaced(item, placeholders) for item in value]
    if isinstance(value, dict):
        return {key: _replaced(item, placeholders) for key, item in value.items()}
    return value


def _notice(missing: list[str]) -> str:
    words = {unicodedata.name(c, "UNKNOWN").split()[0] for c in missing}
    scripts = sorted(word if len(word) <= len("CJK") else word.capitalize() for word in words)
    n_more = len(scripts) - 5
    more = f" and {n_more} more" if n_more > 0 else ""
    what = "a character" if len(missing) == 1 else f"{len(missing)} characters"
    return (
        f"{PLACEHOLDER} stands for {what} that no font on the machine that made this has "
        f"({', '.join(scripts[:5])}{more}). Install fonts there, or export Markdown or JSON: those "
        "hold every character."
    )


if __name__ == "__main__":
    sys.stdout.buffer.write(pdf(json.load(sys.stdin)))
