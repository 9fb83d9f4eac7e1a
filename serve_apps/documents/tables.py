"""CSV and TSV: rows as "column: value", whatever the separator."""

from __future__ import annotations

import csv
import io
from collections import Counter
from itertools import islice
from typing import BinaryIO

from serve_apps.documents.decoding import decoded
from serve_apps.documents.grid import write_rows
from serve_apps.documents.structure import Book

_SEPARATORS = ",;\t|"
_SAMPLE_ROWS = 50
_SAMPLE_CHARACTERS = 64 * 1024


def read_csv(file: BinaryIO, name: str, book: Book) -> None:
    """The table as one page, or several where it is long."""
    _ = name
    text = decoded(book.taken(file))
    csv.field_size_limit(max(len(text), 1))
    separator = separator_of(text[:_SAMPLE_CHARACTERS])
    page = book.turn()
    # A NUL ends what older readers of CSV see; here it is a space like any control character.
    rows = csv.reader(io.StringIO(text.replace("\x00", " "), newline=""), delimiter=separator)
    write_rows(rows, page)
    page.close()


def separator_of(sample: str) -> str:
    """The separator that parts most rows into the same number of cells, the more the better."""
    return max(_SEPARATORS, key=lambda separator: _score(sample, separator))


def _score(sample: str, separator: str) -> tuple[float, int]:
    rows = islice(csv.reader(io.StringIO(sample, newline=""), delimiter=separator), _SAMPLE_ROWS)
    widths = Counter(len(row) for row in rows if row)
    if not widths:
        return 0.0, 0
    width, count = max(widths.items(), key=lambda item: (item[1], item[0]))
    return (count / widths.total() if width > 1 else 0.0), width
