"""Who may see and change which collection: every question to the catalogue goes through here.

What a user may not read does not exist for them.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, or_, select

from serve_apps.catalogue.rows import storable
from serve_apps.catalogue.tables import collections, documents, generations
from serve_apps.errors import Forbidden, NotFound


def readable(user: str) -> ColumnElement[bool]:
    """The condition on `collections` for what `user` may read."""
    return and_(
        or_(collections.c.owner == storable(user), collections.c.shared), collections.c.deleting.is_(False)
    )


def collection_rows() -> Select[Any]:
    """Collections, with the columns of their generation and the counts of what can be found in them."""
    counted = (
        select(
            documents.c.collection_id,
            func.count().label("n_documents"),
            func.sum(documents.c.n_passages).label("n_passages"),
        )
        .where(documents.c.state == "ready")
        .group_by(documents.c.collection_id)
        .subquery()
    )
    current = generations.c.id == collections.c.generation_id
    return (
        select(
            collections,
            generations.c.embedding_model,
            generations.c.dimensions,
            generations.c.store_name,
            counted.c.n_documents,
            counted.c.n_passages,
        )
        .outerjoin(generations, current)
        .outerjoin(counted, counted.c.collection_id == collections.c.id)
    )


def collection_row(connection: Connection, user: str, collection_id: str) -> Row[Any]:
    """A collection that `user` may read.

    Raises:
        NotFound: there is none.
    """
    wanted = and_(collections.c.id == storable(collection_id), readable(user))
    row = connection.execute(collection_rows().where(wanted)).first()
    if row is None:
        raise NotFound("There is no such collection.", "Choose one from the list.")
    return row


def own_collection_row(connection: Connection, user: str, collection_id: str) -> Row[Any]:
    """A collection that `user` may change, locked until the transaction ends.

    Raises:
        NotFound: there is none that the user may read.
        Forbidden: it is another user's.
    """
    lock = select(collections.c.id).where(collections.c.id == storable(collection_id)).with_for_update()
    connection.execute(lock)
    row = collection_row(connection, user, collection_id)
    if row.owner != user:
        raise Forbidden(
            f"The collection {row.name!r} is {row.owner}'s.", "Ask its owner, or use one of your own."
        )
    return row


def document_row(connection: Connection, user: str, document_id: str) -> Row[Any]:
    """A document that can be found and that `user` may read.

    Raises:
        NotFound: there is none.
    """
    row = connection.execute(
        select(documents)
        .join(collections, collections.c.id == documents.c.collection_id)
        .where(documents.c.id == storable(document_id), documents.c.state == "ready", readable(user))
    ).first()
    if row is None:
        raise NotFound("There is no such document.", "It may have been deleted or replaced; see the list.")
    return row


def own_document_row(connection: Connection, user: str, document_id: str) -> Row[Any]:
    """A document that `user` may change; its collection is locked until the transaction ends.

    Raises:
        NotFound: there is none that the user may read.
        Forbidden: it is another user's.
    """
    row = document_row(connection, user, document_id)
    own_collection_row(connection, user, row.collection_id)
    return document_row(connection, user, document_id)
