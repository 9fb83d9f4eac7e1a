"""A PDF's page as a picture, with the places of some of its characters."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass

import orjson

from serve_apps.documents import confined
from serve_apps.errors import DocumentUnreadable

_TIMEOUT_S = 20.0
_MEMORY_BYTES = 2**30
_MOST_BYTES = 64 * 2**20
NARROWEST_PX = 100
WIDEST_PX = 3000


@dataclass(frozen=True, slots=True)
class Mark:
    """A rectangle on a page, as shares of its width and height from the top left corner."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class PagePicture:
    """A page's picture, and where on it the characters are that were asked for, a mark a line."""

    png: bytes
    width_px: int
    height_px: int
    marks: tuple[Mark, ...]


async def picture(pdf: bytes, page: int, start: int, end: int, width_px: int) -> PagePicture:
    """Draw a page, in a process of its own.

    Args:
        pdf: the whole file.
        page: its number, from 1.
        start: of the characters to mark, in `Page.text` of that page.
        end: behind the last of them; `start` marks nothing.
        width_px: the picture is as wide, or less where the page is a long strip.

    Raises:
        NotFound: the PDF has no such page.
        DocumentUnreadable: no PDF, or broken.
        DocumentTooLarge: the page takes too long to draw.
    """
    what = {"page": page, "start": start, "end": end, "width_px": min(max(width_px, NARROWEST_PX), WIDEST_PX)}
    lines = confined.answers(
        {"do": "draw", "picture": what},
        timeout_s=_TIMEOUT_S,
        memory_bytes=_MEMORY_BYTES,
        most_bytes=_MOST_BYTES,
        data=pdf,
    )
    async with aclosing(lines):
        return await _picture([line async for line in lines])


async def _picture(lines: list[bytes]) -> PagePicture:
    if not lines:
        raise DocumentUnreadable("The page cannot be drawn.", "Look at its text instead.")
    what, facts = orjson.loads(lines[0])
    if what == "failed":
        raise confined.failure(facts)
    # The picture's bytes may hold newlines; the last line of the answer is the newline after it.
    png = b"\n".join(lines[1:])[: facts["n_bytes"]]
    marks = tuple(Mark(*mark) for mark in facts["marks"])
    return PagePicture(png, facts["width_px"], facts["height_px"], marks)
