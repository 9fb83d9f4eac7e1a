"""PPTX, by python-pptx: a page a slide, with its speaker's notes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import pptx
from pptx.exc import PackageNotFoundError

from serve_apps.documents.grid import write_rows
from serve_apps.documents.structure import Book, Writer, one_line
from serve_apps.documents.unzipping import unzipped
from serve_apps.errors import DocumentUnreadable

_DEEPEST_GROUP = 20


def read_pptx(file: BinaryIO, name: str, book: Book) -> None:
    """Slides in order, under their own numbers; those without words are left out."""
    _ = name
    unzipped(file, book)
    file.seek(0)
    try:
        deck = pptx.Presentation(file)
    except (KeyError, ValueError, PackageNotFoundError) as wrong:
        raise DocumentUnreadable(
            "The file is no PowerPoint presentation, or it is damaged.", "Save it as PPTX again, or as PDF."
        ) from wrong
    book.title = one_line(deck.core_properties.title or "")
    if book.title.lower() in ("powerpoint presentation", "presentation"):
        book.title = ""
    book.admit(len(deck.slides))
    for number, slide in enumerate(deck.slides, 1):
        _slide(slide, number, book)


def _slide(slide: Any, number: int, book: Book) -> None:
    page = book.turn(number=number)
    title = slide.shapes.title
    if title is not None and title.has_text_frame:
        page.heading(title.text_frame.text)
        book.title = book.title or one_line(title.text_frame.text)
    for shape in _shapes(slide.shapes):
        if title is None or shape.shape_id != title.shape_id:
            _shape(shape, page)
    if slide.has_notes_slide and (notes := slide.notes_slide.notes_text_frame) is not None:
        for paragraph in notes.paragraphs:
            page.paragraph(paragraph.text)
    page.close()


def _shapes(shapes: Iterable[Any], depth: int = 0) -> Iterator[Any]:
    """All shapes, those in groups too."""
    for shape in shapes:
        if hasattr(shape, "shapes") and depth < _DEEPEST_GROUP:
            yield from _shapes(shape.shapes, depth + 1)
        else:
            yield shape


def _shape(shape: Any, page: Writer) -> None:
    if getattr(shape, "has_table", False):
        write_rows([[cell.text for cell in row.cells] for row in shape.table.rows], page)
    elif shape.has_text_frame:
        for paragraph in shape.text_frame.paragraphs:
            text = paragraph.text.strip()
            page.row([("", f"{'  ' * paragraph.level}• {text}")] if text else [])
