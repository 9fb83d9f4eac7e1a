"""Files as they were given: each kept once, however many documents it is, and gone with the last of them."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Row, delete, exists, insert, select, text, update

from serve_apps.catalogue.tables import documents, originals
from serve_apps.errors import InputError


def keep_original(connection: Connection, document: Row[Any], original: bytes) -> None:
    """Store the file once, however many documents it is.

    Raises:
        InputError: the bytes are another file's; a false hash would open somebody else's.
    """
    if sha256(original).hexdigest() != document.sha256:
        raise InputError(f"The file of {document.name!r} is not the one that was announced.", "Add it again.")
    there = select(originals.c.sha256).where(originals.c.sha256 == document.sha256)
    _queue_for_originals(connection)
    if connection.scalar(there) is None:
        connection.execute(insert(originals).values(sha256=document.sha256, data=original))
    here = documents.c.key == document.key
    connection.execute(update(documents).where(here).values(has_original=True))


def delete_originals(connection: Connection, hashes: Sequence[str]) -> None:
    """Delete those of these files that no document has any more."""
    _queue_for_originals(connection)
    kept = exists().where(documents.c.sha256 == originals.c.sha256, documents.c.has_original)
    connection.execute(delete(originals).where(originals.c.sha256.in_(hashes), ~kept))


def _queue_for_originals(connection: Connection) -> None:
    """Who looks whether a file is still needed, and who needs it, take turns; SQLite's writers do anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE originals IN SHARE ROW EXCLUSIVE MODE"))
