"""XLSX, by openpyxl: a page a sheet, rows as "column: value". Stored values are read, formulas never run."""

from __future__ import annotations

import datetime as dt
import sys
import warnings
import zipfile
from collections.abc import Iterator
from typing import Any, BinaryIO

from serve_apps.documents.grid import write_rows
from serve_apps.documents.structure import Book, one_line
from serve_apps.documents.unzipping import unzipped
from serve_apps.errors import DocumentUnreadable

# openpyxl imports them if they are there, for what is not used here: half of its time to start.
_ABSENT = [name for name in ("numpy", "PIL") if name not in sys.modules]
for _name in _ABSENT:
    sys.modules[_name] = None  # type: ignore[assignment]  # how Python spells "not to be imported"
import openpyxl  # noqa: E402
from openpyxl.utils.exceptions import InvalidFileException  # noqa: E402

for _name in _ABSENT:
    del sys.modules[_name]

_MOST_COLUMNS = 500


def read_xlsx(file: BinaryIO, name: str, book: Book) -> None:
    """Every sheet, hidden ones too; charts and pictures are not read."""
    _ = name
    unzipped(file, book)
    file.seek(0)
    warnings.simplefilter("ignore")  # of extensions that openpyxl does not keep: there is nothing to keep
    try:
        workbook = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
    except (KeyError, InvalidFileException, zipfile.BadZipFile) as wrong:
        raise DocumentUnreadable(
            "The file is no Excel workbook, or it is damaged.", "Save it as XLSX again, or as CSV."
        ) from wrong
    book.title = one_line(workbook.properties.title or "")
    for sheet in workbook.worksheets:
        # The size that a sheet claims may be a lie: a million empty rows, or one cell.
        sheet.reset_dimensions()
        page = book.turn(sheet.title)
        page.heading(sheet.title)
        write_rows(_rows(sheet), page)
        page.close()


def _rows(sheet: Any) -> Iterator[list[str]]:
    for row in sheet.iter_rows(values_only=True):
        cells = [_shown(value) for value in row[:_MOST_COLUMNS]]
        if any(cells):
            yield cells


def _shown(value: Any) -> str:
    """A cell as people see it, about."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float() if value.is_integer() and abs(value) < 2**53:
            return str(int(value))
        case float():
            return f"{value:.12g}"
        case dt.datetime():
            return value.isoformat(" ", "minutes").removesuffix(" 00:00")
    return str(value).strip()
