"""Rows of the catalogue as the values that travel, and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import Row

from serve_apps.catalogue.tables import MAX_PASSAGES
from serve_apps.errors import InputError
from serve_apps.wire import Vectors
from serve_apps.wire_knowledge import Collection, Document, Passage

_STORED = np.dtype("<f2")


def collection_of(row: Row[Any]) -> Collection:
    """A collection, from its row with its generation's columns and counts."""
    return Collection(
        id=row.id,
        name=row.name,
        owner=row.owner,
        shared=row.shared,
        embedding_model=row.embedding_model or "",
        dimensions=row.dimensions or 0,
        n_documents=row.n_documents or 0,
        n_passages=row.n_passages or 0,
    )


def document_of(row: Row[Any], tags: Sequence[str]) -> Document:
    """A document, from its row and its tags."""
    return Document(
        id=row.id,
        collection_id=row.collection_id,
        name=row.name,
        kind=row.kind,
        media_type=row.media_type,
        sha256=row.sha256,
        size_bytes=row.size_bytes,
        n_pages=row.n_pages,
        n_passages=row.n_passages,
        added_s=row.added_s,
        url=row.url,
        tags=tuple(tags),
    )


def passage_of(row: Row[Any], key: int) -> Passage:
    """A passage, from its row and its key."""
    return Passage(
        index=key % MAX_PASSAGES,
        text=row.text,
        page=row.page,
        start=row.start,
        end=row.end,
        headings=tuple(json.loads(row.headings)),
        start_s=row.start_s,
        end_s=row.end_s,
    )


def passage_row(document_key: int, passage: Passage) -> dict[str, Any]:
    """The row of a passage."""
    return {
        "key": passage_key(document_key, passage.index),
        "document_key": document_key,
        "text": storable(passage.text),
        "page": passage.page,
        "start": passage.start,
        "end": passage.end,
        "headings": storable(json.dumps(passage.headings, ensure_ascii=False)),
        "start_s": passage.start_s,
        "end_s": passage.end_s,
    }


def storable(given: str) -> str:
    """A text as databases take it, of the same length: without NUL and halves of characters."""
    return given.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def passage_key(document_key: int, index: int) -> int:
    """What a passage is called in the catalogue and in the vector store.

    Raises:
        InputError: no document has so many passages.
    """
    if not 0 <= index < MAX_PASSAGES:
        raise InputError(
            f"A document has at most {MAX_PASSAGES:,} passages, and this one is number {index:,}.",
            "Split the document.",
        )
    return document_key * MAX_PASSAGES + index


def packed(vector: Vectors) -> bytes:
    """A vector as it is kept: half the bytes, and cosines right to three digits."""
    return vector.astype(_STORED).tobytes()


def unpacked(data: Sequence[bytes]) -> Vectors:
    """Kept vectors as float32, shape (len(data), d)."""
    return np.stack([np.frombuffer(one, _STORED) for one in data]).astype(np.float32)
