"""Collections and search results as files: passages with or without their vectors, written batch by batch."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import anyio.to_thread
from gradio.utils import get_upload_folder

from serve_apps.contracts_knowledge import Knowledge, PassageVector
from serve_apps.wire_knowledge import Collection
from ui.search_columns import Ranking

__all__ = ["CHOICES", "RESULT_CHOICES", "write_collections", "write_results"]

CHOICES = ("Passages, CSV", "Passages and vectors, CSV", "Passages and vectors, Parquet")
RESULT_CHOICES = ("Results, CSV", "Results, Parquet")
PAGE = 500
"""Passages in memory at a time."""
Row = dict[str, Any]


class _Table(Protocol):
    """A file that takes rows."""

    def add(self, rows: Sequence[Row]) -> None: ...
    def close(self) -> None: ...


class _Csv:
    """Vectors become a column a number; lists of headings one text."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._has_head = False

    def add(self, rows: Sequence[Row]) -> None:
        for row in rows:
            vector = row.get("vector")
            if not self._has_head:
                names = [name for name in row if name != "vector"]
                numbers = [] if vector is None else [f"v{i}" for i in range(len(vector))]
                self._writer.writerow([*names, *numbers])
                self._has_head = True
            cells = [_cell(value) for name, value in row.items() if name != "vector"]
            self._writer.writerow([*cells, *([] if vector is None else [f"{value:.9g}" for value in vector])])

    def close(self) -> None:
        self._file.close()


class _Parquet:
    """A row group a batch; the schema is that of the first."""

    def __init__(self, path: Path) -> None:
        # Here and not above: the writer is memory that a page needs only when somebody takes such a file.
        import pyarrow as pa  # noqa: PLC0415
        from pyarrow import parquet  # noqa: PLC0415

        self._pa, self._parquet, self._path = pa, parquet, path
        self._writer: Any = None

    def add(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        if self._writer is None:
            self._writer = self._parquet.ParquetWriter(self._path, self._schema(rows[0]))
        self._writer.write_table(self._pa.Table.from_pylist(list(rows), schema=self._writer.schema))

    def close(self) -> None:
        if self._writer is None:
            self._parquet.write_table(self._pa.table({}), self._path)
        else:
            self._writer.close()

    def _schema(self, row: Row) -> Any:
        pa = self._pa
        kinds = {name: _KINDS.get(name, "string") for name in row}
        made = {
            "string": pa.string(),
            "int": pa.int32(),
            "float": pa.float64(),
            "texts": pa.list_(pa.string()),
        }
        if "vector" in row:
            made["vector"] = pa.list_(pa.float32(), len(row["vector"]))
        return pa.schema([(name, made[kind]) for name, kind in kinds.items()])


_KINDS = {
    **dict.fromkeys(("index", "page", "start", "end", "rank", "dense_rank", "bm25_rank"), "int"),
    **dict.fromkeys(("start_s", "end_s", "score", "cosine", "bm25"), "float"),
    "headings": "texts",
    "vector": "vector",
}


async def write_collections(
    knowledge: Knowledge, user: str, collections: Sequence[Collection], choice: str
) -> AsyncGenerator[float | Path, None]:
    """Yield the share that is written, then the file, in a folder that Gradio serves from.

    Raises:
        NotFound: the user may not read one of them.
    """
    path = _new("passages", choice)
    n_all = max(1, sum(collection.n_passages for collection in collections))
    n_done = 0
    with closing(_table(path)) as table:
        for collection in collections:
            offset = 0
            while page := await knowledge.vectors(user, collection.id, limit=PAGE, offset=offset):
                rows = [_row(collection, item, vectors="vectors" in choice) for item in page]
                await anyio.to_thread.run_sync(table.add, rows)
                offset, n_done = offset + len(page), n_done + len(page)
                yield min(1.0, n_done / n_all)
    yield path


def write_results(rankings: Sequence[Ranking], query: str, choice: str) -> Path:
    """Every column's passages, a row each."""
    path = _new("results", choice)
    with closing(_table(path)) as table:
        table.add(
            [
                {
                    "query": query,
                    "column": ranking.column.key,
                    "rank": rank,
                    "score": entry.score,
                    "cosine": entry.hit.cosine,
                    "bm25": entry.hit.bm25,
                    "dense_rank": entry.hit.dense_rank,
                    "bm25_rank": entry.hit.bm25_rank,
                    "document_id": entry.hit.document.id,
                    "document": entry.hit.document.name,
                    "page": entry.hit.passage.page,
                    "headings": list(entry.hit.passage.headings),
                    "start": entry.hit.passage.start,
                    "end": entry.hit.passage.end,
                    "text": entry.hit.passage.text,
                }
                for ranking in rankings
                for rank, entry in enumerate(ranking.entries, 1)
            ]
        )
    return path


def _row(collection: Collection, item: PassageVector, *, vectors: bool) -> Row:
    passage = item.passage
    row: Row = {
        "collection": collection.name,
        "document_id": item.document_id,
        "document": item.document_name,
        "index": passage.index,
        "page": passage.page,
        "headings": list(passage.headings),
        "start": passage.start,
        "end": passage.end,
        "start_s": passage.start_s,
        "end_s": passage.end_s,
        "text": passage.text,
    }
    return {**row, "vector": item.vector} if vectors else row


def _new(stem: str, choice: str) -> Path:
    uploads = Path(get_upload_folder())
    uploads.mkdir(parents=True, exist_ok=True)
    return (
        Path(tempfile.mkdtemp(prefix="collection-", dir=uploads))
        / f"{stem}.{choice.rsplit(maxsplit=1)[-1].lower()}"
    )


def _table(path: Path) -> _Table:
    return _Parquet(path) if path.suffix == ".parquet" else _Csv(path)


def _cell(value: Any) -> Any:
    return " \u203a ".join(value) if isinstance(value, list) else value
