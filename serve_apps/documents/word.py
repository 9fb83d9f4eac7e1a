"""DOCX, by python-docx: headings by style, paragraphs, tables as rows that name their columns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from docx.document import Document
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.opc.exceptions import PackageNotFoundError
from docx.opc.part import PartFactory
from docx.oxml.ns import qn
from docx.oxml.parser import parse_xml
from docx.package import Package
from docx.parts.document import DocumentPart

from serve_apps.documents.grid import write_rows
from serve_apps.documents.structure import Book, Writer, one_line
from serve_apps.documents.unzipping import unzipped
from serve_apps.errors import DocumentUnreadable

_HEADING = re.compile(r"heading ?([1-9])", re.IGNORECASE)
_DEEPEST_STYLE = 10
_WIDEST_SPAN = 1000
_PREFIX = "application/vnd."
_MAIN_PARTS = (
    "ms-word.document.macroEnabled.main+xml",
    "ms-word.template.macroEnabledTemplate.main+xml",
    "openxmlformats-officedocument.wordprocessingml.template.main+xml",
)
_PARAGRAPH, _TABLE, _ROW, _CELL, _CONTROL = (qn(f"w:{name}") for name in ("p", "tbl", "tr", "tc", "sdt"))
_TEXT, _DRAWN_AGAIN = qn("w:t"), "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_GLYPHS = {
    qn("w:tab"): "\t",
    qn("w:br"): "\n",
    qn("w:cr"): "\n",
    qn("w:noBreakHyphen"): "-",
    qn("w:p"): "\n",
}


def read_docx(file: BinaryIO, name: str, book: Book) -> None:
    """The text as one page: DOCX does not say where pages end. Macros are not even looked at."""
    _ = name
    unzipped(file, book)
    document = _document(file)
    book.title = one_line(document.core_properties.title or "")
    styles = _styles(document)
    page = book.turn()
    for element in _content(document.element.body):
        if element.tag == _TABLE:
            write_rows([[_text(cell) for cell in _cells(row)] for row in element.iterchildren(_ROW)], page)
        else:
            _paragraph(element, styles, page, book)
    for paragraph in _notes(document):
        page.paragraph(paragraph)
    page.close()


def _document(file: BinaryIO) -> Document:
    file.seek(0)
    for kind in _MAIN_PARTS:
        PartFactory.part_type_for[_PREFIX + kind] = DocumentPart
    try:
        part = Package.open(file).main_document_part
    except (KeyError, ValueError, PackageNotFoundError) as wrong:
        raise _not_word() from wrong
    if not isinstance(part, DocumentPart):
        raise _not_word()
    document: Document = part.document
    return document


def _not_word() -> DocumentUnreadable:
    return DocumentUnreadable(
        "The file is no Word document, or it is damaged.", "Save it as DOCX again, or as PDF."
    )


def _content(parent: Any) -> Iterator[Any]:
    """Paragraphs and tables, those in content controls (contents, cover pages) too."""
    for element in parent.iterchildren():
        if element.tag in (_PARAGRAPH, _TABLE):
            yield element
        elif element.tag == _CONTROL:
            for content in element.iterchildren(qn("w:sdtContent")):
                yield from _content(content)


def _styles(document: Document) -> dict[str, tuple[str, int]]:
    """The kind and level of each style by its id: headings and titles, also those based on them."""
    found: dict[str, tuple[str, int]] = {}
    for style in document.styles:
        above: Any = style
        for _ in range(_DEEPEST_STYLE):
            name = (above.name or "").lower() if above is not None else ""
            if heading := _HEADING.match(name):
                found[style.style_id] = "heading", int(heading[1])
            elif name in ("title", "list paragraph") or name.startswith(("list bullet", "list number")):
                found[style.style_id] = name.split()[0], 1
            if above is None or style.style_id in found:
                break
            above = getattr(above, "base_style", None)
    return found


def _paragraph(element: Any, styles: dict[str, tuple[str, int]], page: Writer, book: Book) -> None:
    text = _text(element).strip()
    kind, level = styles.get(element.style or "", ("", 0))
    if kind in ("heading", "title"):
        page.heading(text, level)
        book.title = book.title or one_line(text)
    elif kind == "list" and text:
        page.row([("", f"• {text}")])
    else:
        page.paragraph(text)


def _text(element: Any) -> str:
    """Its words, inserted ones too and deleted ones not; text boxes once."""
    parts: list[str] = []
    skipped: set[Any] = set()
    for part in element.iter():
        if part.tag == _DRAWN_AGAIN:
            skipped |= set(part.iter())
        if part in skipped:
            continue
        parts.append((part.text or "") if part.tag == _TEXT else _GLYPHS.get(part.tag, ""))
    return "".join(parts)


def _cells(row: Any) -> Iterator[Any]:
    """One a column: a cell over several columns comes once, followed by empty ones."""
    empty = parse_xml(f'<w:tc xmlns:w="{_CELL[1:].partition("}")[0]}"/>')
    for cell in row.iterchildren(_CELL):
        yield cell
        for _ in range(1, min(cell.grid_span, _WIDEST_SPAN)):
            yield empty


def _notes(document: Document) -> Iterator[str]:
    """Footnotes and endnotes, which stand in parts of their own."""
    for relation in document.part.rels.values():
        if relation.reltype in (RELATIONSHIP_TYPE.FOOTNOTES, RELATIONSHIP_TYPE.ENDNOTES):
            yield from (_text(note) for note in parse_xml(relation.target_part.blob))
