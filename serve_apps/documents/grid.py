"""Tables of every format: rows below a header, each naming its columns, so that it makes sense alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, islice

from serve_apps.documents.structure import Writer

_LOOKED_AT = 20
"""First rows, of which one may be the header: titles stand above it in spreadsheets."""
_FULL = 0.5
_MOST_COLUMNS = 500


def write_rows(rows: Iterable[Sequence[str]], page: Writer) -> None:
    """Write a table: what is above its header as it is, then its rows."""
    remaining = iter(rows)
    first = list(islice(remaining, _LOOKED_AT))
    at = header_at(first)
    header = list(first[at][:_MOST_COLUMNS]) if at is not None else []
    for index, row in enumerate(chain(first, remaining)):
        if index != at:
            is_below = at is not None and index > at
            page.row(list(named(row, header if is_below else [])))


def named(row: Sequence[str], header: Sequence[str]) -> Iterable[tuple[str, str]]:
    """(column, value) of a row; values beyond the header have no column."""
    for index, value in enumerate(row):
        yield (header[index] if index < len(header) else ""), value


def header_at(rows: Sequence[Sequence[str]]) -> int | None:
    """Which of the first rows names the columns: the first full one, if it has no numbers."""
    if len(rows) <= 1:
        return None
    widths = [sum(bool(cell.strip()) for cell in row) for row in rows]
    wide = max(widths)
    for index, (row, width) in enumerate(zip(rows[:-1], widths, strict=False)):
        if width > 1 and width >= _FULL * wide:
            return index if not any(_is_number(cell) for cell in row) else None
    return None


def _is_number(cell: str) -> bool:
    plain = cell.strip().lstrip("+-€$£").rstrip("%€$£").replace(",", "").replace(".", "").replace(" ", "")
    return plain.isdigit()
