"""PDF, by PDFium: pages with their numbers, paragraphs by line distance, headings by outline or size."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import pypdfium2
import pypdfium2.raw as pdfium

from serve_apps.documents.pdf_layout import Layout, OutlineEntry, TextPage
from serve_apps.documents.pdf_text import is_legible, lines_of, text_of
from serve_apps.documents.structure import Book, StructuredPage, one_line
from serve_apps.errors import DocumentUnreadable

_MOST_OUTLINE_ENTRIES = 5000
_MOST_CHARACTERS = 4_000_000
"""Of one page: more than any paper holds."""

logging.getLogger("pypdfium2").setLevel(logging.ERROR)


@dataclass(slots=True)
class _Scan:
    """What going through the pages found."""

    pages: list[TextPage] = field(default_factory=list)
    n_pictures: int = 0
    n_broken: int = 0


def read_pdf(file: BinaryIO, name: str, book: Book) -> None:
    """Every page that has text, under its own number."""
    _ = name
    document = opened(file)
    book.admit(len(document))
    book.title = one_line(document.get_metadata_value("Title"))
    scan = _scanned(document, book)
    layout = Layout(scan.pages, list(_outline(document)))
    for page in scan.pages:
        book.bind(
            StructuredPage(
                number=page.number,
                text=page.text,
                blocks=layout.blocks(page),
                label=_label(document, page.number),
            )
        )
    book.notes += _notes(scan, len(document))


def opened(file: BinaryIO | bytes) -> pypdfium2.PdfDocument:
    """Open a PDF.

    Raises:
        DocumentUnreadable: protected, or broken beyond PDFium's repair.
    """
    try:
        document = pypdfium2.PdfDocument(file)
        if len(document):
            return document
    except pypdfium2.PdfiumError as wrong:
        if wrong.err_code in (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY):
            raise DocumentUnreadable(
                "The PDF is protected by a password.", "Remove the password and add it again."
            ) from wrong
    raise DocumentUnreadable(
        "The PDF is damaged or cut short.", "Open it elsewhere, and save it again as PDF."
    )


def _scanned(document: pypdfium2.PdfDocument, book: Book) -> _Scan:
    scan = _Scan()
    for index in range(len(document)):
        try:
            page = document[index]
        except pypdfium2.PdfiumError:
            scan.n_broken += 1
            continue
        textpage = page.get_textpage()
        text = text_of(textpage) if textpage.count_chars() <= _MOST_CHARACTERS else ""
        book.spend(text)
        lines = lines_of(textpage, text) if is_legible(text) else []
        if lines:
            scan.pages.append(TextPage(index + 1, text, tuple(lines)))
        elif pdfium.FPDFPage_CountObjects(page):
            scan.n_pictures += 1
        textpage.close()
        page.close()
    return scan


def _outline(document: pypdfium2.PdfDocument) -> Iterator[OutlineEntry]:
    for index, entry in enumerate(document.get_toc(max_depth=6)):
        target = entry.get_dest()
        page = target.get_index() if target is not None else None
        title = one_line(entry.get_title())
        if page is not None and title:
            yield OutlineEntry(page + 1, title, entry.level + 1)
        if index >= _MOST_OUTLINE_ENTRIES:
            return


def _label(document: pypdfium2.PdfDocument, number: int) -> str:
    """The page's printed number where it is another: "iv"."""
    label = one_line(document.get_page_label(number - 1), 20)
    return "" if label == str(number) else label


def _notes(scan: _Scan, n_pages: int) -> list[str]:
    notes = []
    if scan.n_pictures:
        notes.append(f"{scan.n_pictures} of {n_pages} pages hold no letters that can be read (pictures?).")
    if scan.n_broken:
        notes.append(f"{scan.n_broken} of {n_pages} pages are damaged and were left out.")
    return notes
