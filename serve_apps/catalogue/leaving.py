"""Documents on their way out of the catalogue: hidden at once, forgotten when the store forgot them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, and_, delete, func, or_, select, update

from serve_apps.catalogue.access import own_collection_row, own_document_row
from serve_apps.catalogue.originals import delete_originals
from serve_apps.catalogue.tables import collections, documents, passages
from serve_apps.database import reading, writing
from serve_apps.wire_knowledge import Ticket

LEASE_S = 15 * 60.0
"""A document that is begun and then not touched for so long has been given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """A document that nothing finds any more and that is to be removed."""

    key: int
    collection_id: str
    n_passages: int


class Removing:
    """The way out."""

    def __init__(self, database: Engine) -> None:
        self._database = database

    def abandon(self, ticket: Ticket) -> list[Leaving]:
        """A document that was begun leaves; one that was committed stays."""
        with writing(self._database) as connection:
            return mark(connection, documents.c.id == ticket.document_id, documents.c.state == "adding")

    def delete(self, user: str, document_id: str) -> list[Leaving]:
        """From here on nothing finds it."""
        with writing(self._database) as connection:
            row = own_document_row(connection, user, document_id)
            return mark(connection, documents.c.key == row.key)

    def delete_collection(self, user: str, collection_id: str) -> list[Leaving]:
        """From here on nothing finds it or anything in it, and its name is free."""
        with writing(self._database) as connection:
            own_collection_row(connection, user, collection_id)
            here = collections.c.id == collection_id
            connection.execute(update(collections).where(here).values(deleting=True, name=collection_id))
            return mark(connection, documents.c.collection_id == collection_id)

    def left_behind(self, before_s: float) -> list[Leaving]:
        """What crashes left: documents half deleted, and those begun and not touched since `before_s`."""
        stale = and_(documents.c.state == "adding", documents.c.touched_s < before_s)
        with writing(self._database) as connection:
            return mark(connection, or_(documents.c.state == "deleting", stale))

    def collections_left_behind(self) -> list[str]:
        """Ids of collections half deleted."""
        with reading(self._database) as connection:
            return list(connection.scalars(select(collections.c.id).where(collections.c.deleting)))

    def forget(self, leaving: Sequence[Leaving]) -> None:
        """Delete all that the catalogue has of them: the last step."""
        keys = [one.key for one in leaving]
        with writing(self._database) as connection:
            hashes = _hashes(connection, documents.c.key.in_(keys))
            connection.execute(delete(documents).where(documents.c.key.in_(keys)))
            delete_originals(connection, hashes)

    def forget_collection(self, collection_id: str) -> None:
        """The same for a collection and all that is in it."""
        with writing(self._database) as connection:
            hashes = _hashes(connection, documents.c.collection_id == collection_id)
            connection.execute(delete(documents).where(documents.c.collection_id == collection_id))
            connection.execute(delete(collections).where(collections.c.id == collection_id))
            delete_originals(connection, hashes)


def mark(connection: Connection, *which: Any) -> list[Leaving]:
    """Set documents to `deleting`."""
    rows = connection.execute(select(documents).where(*which)).all()
    keys = [row.key for row in rows]
    if keys:
        connection.execute(update(documents).where(documents.c.key.in_(keys)).values(state="deleting"))
    return [
        Leaving(
            key=row.key, collection_id=row.collection_id, n_passages=count_rows(connection, passages, row.key)
        )
        for row in rows
    ]


def count_rows(connection: Connection, table: Any, document_key: int) -> int:
    """Pages or passages of a document."""
    wanted = select(func.count()).select_from(table).where(table.c.document_key == document_key)
    return connection.scalar(wanted) or 0


def _hashes(connection: Connection, which: Any) -> list[str]:
    return list(connection.scalars(select(documents.c.sha256).where(which).distinct()))
