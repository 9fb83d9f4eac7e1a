"""The process that reads one file: forked from `template`, for `confined`.

Its standard input is a line of JSON, what to do; then, for a picture, the PDF. The file to read is an open
descriptor. Its standard output is JSON, a line each: pages and passages as they are, then `done` or
`failed`. Only the parser that is needed is imported; then the limits are set, then the file is parsed.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import Any

import orjson

from serve_apps.documents.confinement import confine
from serve_apps.documents.cutting import cut, distinct
from serve_apps.documents.kinds import HEAD_BYTES, MEDIA_TYPES, kind_of
from serve_apps.documents.structure import Book, Limits, one_line
from serve_apps.errors import DocumentTooLarge, DocumentUnreadable, RaydioError, SetupError
from serve_apps.wire_knowledge import DocumentKind

_READERS: dict[DocumentKind, tuple[str, str]] = {
    "pdf": ("pdf", "read_pdf"),
    "docx": ("word", "read_docx"),
    "pptx": ("slides", "read_pptx"),
    "xlsx": ("sheets", "read_xlsx"),
    "html": ("web", "read_html"),
    "epub": ("book", "read_epub"),
    "markdown": ("plain", "read_markdown"),
    "text": ("plain", "read_text"),
    "code": ("code", "read_code"),
    "csv": ("tables", "read_csv"),
}
_DEEPEST = 3000
"""Python frames: nested files end in RecursionError long before the C stack does."""


def main() -> None:
    """Do what standard input says, and leave without tidying up."""
    request = orjson.loads(sys.stdin.buffer.readline())
    out = sys.stdout.buffer
    try:
        work = _WORK[request["do"]](request)
        sys.setrecursionlimit(_DEEPEST)
        confine(request["memory_bytes"], request["timeout_s"])
        for line in work():
            out.write(line)
            out.write(b"\n")
    except RaydioError as refused:
        out.write(_failure(refused))
    except ImportError as missing:
        out.write(_failure(_needs_library(missing)))
    except MemoryError:
        out.write(_failure(_needs_memory(request)))
    except RecursionError:
        out.write(_failure(DocumentUnreadable("The file is nested deeper than any document.", _RESAVE)))
    except Exception as wrong:  # noqa: BLE001  # parsers raise anything on broken files; none may pass as read
        out.write(_failure(DocumentUnreadable(f"The file is damaged ({type(wrong).__name__}).", _RESAVE)))
    out.flush()
    os._exit(0)  # nothing to tidy up, and libraries that a file has confused may not get to


_RESAVE = "Open it in its own program, save it again, and add that."


def _read(request: dict[str, Any]) -> Callable[[], Iterator[bytes]]:
    """Import what can read the file; that is done when the answer is called."""
    file = os.fdopen(request["descriptor"], "rb")
    name: str = request["name"]
    kind = kind_of(name, file.read(HEAD_BYTES))
    if kind == "audio":
        raise DocumentUnreadable("The file is a recording: it is transcribed, not read.")
    file.seek(0)
    module, function = _READERS[kind]
    read = getattr(importlib.import_module(f"serve_apps.documents.{module}"), function)
    book = Book(Limits(**request["limits"]))

    def lines() -> Iterator[bytes]:
        read(file, name, book)
        return _lines(kind, name, book)

    return lines


def _lines(kind: DocumentKind, name: str, book: Book) -> Iterator[bytes]:
    all_passages = cut(book.pages, book.limits.passage_characters)
    if not all_passages:
        raise DocumentUnreadable(
            "The document has no text that can be read (a scan?).",
            "Recognise its text first (OCR), then add it.",
        )
    passages = distinct(all_passages)
    for page in book.pages:
        yield orjson.dumps(["page", {"number": page.number, "text": page.text, "label": page.label}])
    for passage in passages:
        yield orjson.dumps(["passage", passage])
    facts = {
        "kind": kind,
        "media_type": MEDIA_TYPES[kind],
        "title": book.title or one_line(PurePath(name.replace("\\", "/")).stem),
        "notes": book.notes,
        "n_duplicates": len(all_passages) - len(passages),
    }
    yield orjson.dumps(["done", facts])


def _draw(request: dict[str, Any]) -> Callable[[], Iterator[bytes]]:
    from serve_apps.documents.drawing import drawn  # noqa: PLC0415  # Pillow and PDFium, for pictures only

    def lines() -> Iterator[bytes]:
        facts, png = drawn(sys.stdin.buffer.read(), **request["picture"])
        yield orjson.dumps(["picture", {**facts, "n_bytes": len(png)}])
        yield png

    return lines


_WORK = {"read": _read, "draw": _draw}


def _needs_memory(request: dict[str, Any]) -> DocumentTooLarge:
    return DocumentTooLarge(
        f"Reading the file takes more than {request['memory_bytes'] // 2**20} MB of memory.",
        "Split it, or raise parse_memory_mb in ingest's configuration.",
    )


def _needs_library(missing: ImportError) -> SetupError:
    return SetupError(
        f"A library for such files is missing on this machine ({missing.name}).",
        "Install Raydio's dependencies again.",
    )


def _failure(wrong: RaydioError) -> bytes:
    return (
        orjson.dumps(["failed", {"code": wrong.code, "message": wrong.message, "hint": wrong.hint}]) + b"\n"
    )


if __name__ == "__main__":
    main()
