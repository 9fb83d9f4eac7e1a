"""The text of a PDF's page, character by character as PDFium counts them.

Reading and drawing both use it, so that a span of `Page.text` finds the same characters in both.
"""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass

import pypdfium2.raw as pdfium
from pypdfium2 import PdfTextPage

from serve_apps.documents.structure import printable

_HYPHENS = re.compile("[\x02\ufffe]")
"""How PDFium writes a hyphen at a line's end, with the line end itself, in its two interfaces."""
_NAMELESS = re.compile("[\ufffd\ue000-\uf8ff]")
_MOST_NAMELESS = 0.3
SOFT_HYPHEN = "\u00ad"


def text_of(page: PdfTextPage) -> str:
    """The page's text: one UTF-16 unit for each of PDFium's characters, line ends as a space and a newline.

    Hyphens that part a word at a line's end are soft hyphens, and the line goes on behind them.
    """
    n_units = page.count_chars()
    raw = _at_once(page, n_units) or _one_by_one(page, n_units)
    text = raw.decode("utf-16-le", "surrogatepass").replace("\r\n", " \n").replace("\r", "\n")
    return printable(_HYPHENS.sub(SOFT_HYPHEN, text))


def is_legible(text: str) -> bool:
    """Whether the page's fonts say which letters they draw; without, copying gives signs of no meaning."""
    return len(_NAMELESS.findall(text)) <= _MOST_NAMELESS * len(text)


def _at_once(page: PdfTextPage, n_units: int) -> bytes:
    """All in one call, which leaves characters out on some pages; then empty."""
    buffer = (ctypes.c_ushort * (n_units + 2))()
    n_written = pdfium.FPDFText_GetText(page, 0, n_units, buffer) - 1
    return bytes(buffer)[: 2 * n_units] if n_written == n_units else b""


def _one_by_one(page: PdfTextPage, n_units: int) -> bytes:
    units = (pdfium.FPDFText_GetUnicode(page, index) for index in range(n_units))
    return b"".join(min(unit, 0xFFFD).to_bytes(2, "little") for unit in units)


def units(text: str, offset: int) -> int:
    """PDFium's index of the character at an offset of the page's text."""
    return offset if text.isascii() else len(text[:offset].encode("utf-16-le")) // 2


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a page: `text[start:end]`, and where its first letter stands, in points from the bottom."""

    start: int
    end: int
    bottom: float
    size: float
    """Height of the font's box."""


_LINE = re.compile("[^\n\u00ad]*(?:\u00ad|\n|$)")


def lines_of(page: PdfTextPage, text: str) -> list[Line]:
    """The lines that have letters, in PDFium's order."""
    found = []
    narrow = text.isascii() or not re.search("[\U00010000-\U0010ffff]", text)
    box = pdfium.FS_RECTF()
    for match in _LINE.finditer(text):
        content = match[0].strip()
        if content:
            first = match.start() + len(match[0]) - len(match[0].lstrip())
            pdfium.FPDFText_GetLooseCharBox(page, first if narrow else units(text, first), box)
            found.append(Line(first, match.end(), box.bottom, abs(box.top - box.bottom)))
    return found
