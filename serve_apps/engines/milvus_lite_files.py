"""Milvus Lite's files and kills: indexes are written whole or not at all, what was begun and left is removed.

The library (3.2) lets faiss write an index where it will be read, and never opens a collection again that has
half of one; nor does it make a collection whose folder is there without a schema. An index says nothing that
its vectors do not: nothing is lost with it.
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import Any

from milvus_lite.db import SCHEMA_FILENAME
from milvus_lite.index.faiss_hnsw import FaissHnswIndex
from milvus_lite.storage.segment import Segment

log = logging.getLogger(__name__)

_library_save = FaissHnswIndex.save
_library_attach = Segment.build_or_load_index


def install() -> None:
    """Let every Milvus Lite of this process write and read in this way."""
    FaissHnswIndex.save = _save
    Segment.build_or_load_index = _attach


def tidy(folder: Path, before_s: float) -> None:
    """Delete what a killed process had begun in `folder`; `before_s` is Unix time."""
    for part in folder.glob("**/indexes/*.part"):
        if part.stat().st_mtime < before_s:
            part.unlink(missing_ok=True)
    for collection in folder.glob("milvus/collections/*"):
        if collection.is_dir() and not (collection / SCHEMA_FILENAME).exists():
            shutil.rmtree(collection)


def _save(index: FaissHnswIndex, path: str) -> None:
    aside = Path(f"{path}.part")
    _library_save(index, str(aside))
    with aside.open("rb") as written:
        os.fsync(written.fileno())
    aside.replace(path)


def _attach(segment: Segment, spec: Any, index_dir: str) -> None:
    """`Segment.build_or_load_index`; it builds what is not there."""
    try:
        _library_attach(segment, spec, index_dir)
    except RuntimeError as error:  # faiss has no errors of its own
        file = Path(segment.index_file_path(index_dir, spec.index_type, spec.field_name))
        if not file.exists():
            raise
        log.warning("The index %s cannot be read and is made again: %s", file.name, error)
        file.unlink()
        _library_attach(segment, spec, index_dir)
