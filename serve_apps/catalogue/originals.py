"""Files as they were given: each kept once, however many documents it is, and gone with the last of them."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Row, delete, exists, insert, select, text, update

from serve_apps.catalogue.tables import PIECE_BYTES, documents, originals
from serve_apps.errors import InputError


def keep_original(connection: Connection, document: Row[Any], original: bytes) -> None:
    """Store the file once, however many documents it is.

    Raises:
        InputError: the bytes are another file's; a false hash would open somebody else's.
    """
    if sha256(original).hexdigest() != document.sha256:
        raise InputError(f"The file of {document.name!r} is not the one that was announced.", "Add it again.")
    there = select(originals.c.sha256).where(originals.c.sha256 == document.sha256).limit(1)
    _queue_for_originals(connection)
    if connection.scalar(there) is None:
        connection.execute(insert(originals), _pieces(document.sha256, original))
    here = documents.c.key == document.key
    connection.execute(update(documents).where(here).values(has_original=True))


def read_original(connection: Connection, digest: str, start: int, n_bytes: int | None) -> bytes:
    """Up to `n_bytes` of a file from byte `start` on; all that is left where that is None."""
    first = start // PIECE_BYTES
    wanted = select(originals.c.data).where(originals.c.sha256 == digest, originals.c.piece >= first)
    if n_bytes is not None:
        wanted = wanted.where(originals.c.piece <= (start + n_bytes - 1) // PIECE_BYTES)
    data = b"".join(connection.scalars(wanted.order_by(originals.c.piece)))
    begin = start - first * PIECE_BYTES
    return data[begin:] if n_bytes is None else data[begin : begin + n_bytes]


def delete_originals(connection: Connection, hashes: Sequence[str]) -> None:
    """Delete those of these files that no document has any more."""
    _queue_for_originals(connection)
    kept = exists().where(documents.c.sha256 == originals.c.sha256, documents.c.has_original)
    connection.execute(delete(originals).where(originals.c.sha256.in_(hashes), ~kept))


def _pieces(digest: str, original: bytes) -> list[dict[str, Any]]:
    starts = range(0, max(1, len(original)), PIECE_BYTES)
    return [
        {"sha256": digest, "piece": start // PIECE_BYTES, "data": original[start : start + PIECE_BYTES]}
        for start in starts
    ]


def _queue_for_originals(connection: Connection) -> None:
    """Who looks whether a file is still needed, and who needs it, take turns; SQLite's writers do anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE originals IN SHARE ROW EXCLUSIVE MODE"))
