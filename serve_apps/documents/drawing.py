"""Draws a PDF's page; only in the confined process."""

from __future__ import annotations

import ctypes
import io
import math
from collections.abc import Iterator
from typing import Any

import pypdfium2.raw as pdfium
from pypdfium2 import PdfiumError, PdfPage, PdfTextPage

from serve_apps.documents.pdf import opened
from serve_apps.documents.pdf_text import text_of, units
from serve_apps.errors import DocumentUnreadable, NotFound

_MOST_PIXELS = 12_000_000
_MOST_MARKS = 500
_ROUNDING_PX = 0.01
"""PDFium rounds up."""

Box = tuple[float, float, float, float]
"""left, top, right, bottom, as shares of the page from its top left corner."""


def drawn(pdf: bytes, *, page: int, start: int, end: int, width_px: int) -> tuple[dict[str, Any], bytes]:
    """The picture's facts, and the picture as PNG."""
    document = opened(pdf)
    if not 1 <= page <= len(document):
        raise NotFound(f"The document has no page {page}.", f"It has {len(document)} pages.")
    try:
        shown = document[page - 1]
        width, height = shown.get_size()
        scale = _scale(width, height, width_px)
        image = shown.render(scale=scale).to_pil().convert("RGB")
        marks = list(_marks(shown, start, end))
    except PdfiumError as wrong:
        raise DocumentUnreadable("The page is damaged.", "Look at its text instead.") from wrong
    png = io.BytesIO()
    image.save(png, "PNG", compress_level=6)
    facts = {"width_px": image.width, "height_px": image.height, "marks": marks}
    return facts, png.getvalue()


def _scale(width: float, height: float, width_px: int) -> float:
    """Pixels for each point: as wide as asked for, but never more pixels than fit in memory."""
    wanted = (width_px - _ROUNDING_PX) / width
    return min(wanted, math.sqrt(_MOST_PIXELS / (width * height)))


def _marks(page: PdfPage, start: int, end: int) -> Iterator[Box]:
    textpage = page.get_textpage()
    text = text_of(textpage)
    first, last = units(text, max(start, 0)), units(text, min(end, len(text)))
    if first >= last:
        return
    for box in _lines(_rectangles(textpage, first, last - first)):
        left, top, right, bottom = _on_picture(page, box)
        yield left, top, right - left, bottom - top


def _rectangles(textpage: PdfTextPage, first: int, count: int) -> Iterator[Box]:
    """In points: left, top, right, bottom, from the bottom left corner of the paper."""
    n_rectangles = min(pdfium.FPDFText_CountRects(textpage, first, count), _MOST_MARKS)
    for index in range(n_rectangles):
        left, top, right, bottom = (ctypes.c_double() for _ in range(4))
        if pdfium.FPDFText_GetRect(textpage, index, left, top, right, bottom):
            yield left.value, top.value, right.value, bottom.value


def _lines(boxes: Iterator[Box]) -> list[Box]:
    """Neighbours on one line put together: fonts and styles change within it."""
    found: list[Box] = []
    for box in boxes:
        if found and _same_line(found[-1], box):
            last = found[-1]
            box = min(last[0], box[0]), max(last[1], box[1]), max(last[2], box[2]), min(last[3], box[3])  # noqa: PLW2901
            found.pop()
        found.append(box)
    return found


def _same_line(one: Box, other: Box) -> bool:
    overlap = min(one[1], other[1]) - max(one[3], other[3])
    lower = min(one[1] - one[3], other[1] - other[3])
    height = max(one[1] - one[3], other[1] - other[3])
    return overlap > 0.5 * lower and -2 * height < other[0] - one[2] < 2 * height


def _on_picture(page: PdfPage, box: Box) -> Box:
    """From points on the paper to shares of the picture, whatever the page's rotation and crop."""
    size = 100_000
    corners = [_device(page, size, x, y) for x, y in ((box[0], box[1]), (box[2], box[3]))]
    lefts, tops = zip(*corners, strict=True)
    shares = (min(lefts), min(tops), max(lefts), max(tops))
    left, top, right, bottom = (min(max(share / size, 0.0), 1.0) for share in shares)
    return left, top, right, bottom


def _device(page: PdfPage, size: int, x: float, y: float) -> tuple[int, int]:
    across, down = ctypes.c_int(), ctypes.c_int()
    pdfium.FPDF_PageToDevice(page, 0, 0, size, size, 0, x, y, across, down)
    return across.value, down.value
