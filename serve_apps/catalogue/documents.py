"""The catalogue: which collections and documents there are, and what they say. The truth about both.

Vectors are copied into the vector store from here, and whatever that finds is checked here.
Blocking, as SQLAlchemy is: the knowledge stage calls it on its threads.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from sqlalchemy import Connection, Engine, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from serve_apps.catalogue.access import (
    collection_row,
    collection_rows,
    document_row,
    own_collection_row,
    own_document_row,
    readable,
)
from serve_apps.catalogue.originals import read_original
from serve_apps.catalogue.rows import collection_of, document_of, passage_key, passage_of, storable, unpacked
from serve_apps.catalogue.tables import (
    collections,
    documents,
    pages,
    passages,
    tags,
    vectors,
)
from serve_apps.contracts_knowledge import PassageVector
from serve_apps.contracts_store import SearchScope
from serve_apps.database import reading, writing
from serve_apps.errors import InputError, NotFound
from serve_apps.wire_knowledge import Collection, Document, Page, Passage

FIRST_COLLECTION = "Documents"
"""What every user has."""
MAX_NAME_CHARACTERS = 200
MAX_TAGS = 50


class Catalogue:
    """Collections and documents as their users see them."""

    def __init__(self, database: Engine) -> None:
        self._database = database

    def collections(self, user: str) -> list[Collection]:
        """Those the user may read, own ones first, by name; the first one is made here."""
        found = self._collections(user)
        if not any(one.owner == user for one in found):
            self._make_first(user)
            found = self._collections(user)
        return sorted(found, key=lambda one: (one.owner != user, one.name.casefold(), one.owner))

    def collection(self, user: str, collection_id: str) -> Collection:
        """One of them."""
        with reading(self._database) as connection:
            return collection_of(collection_row(connection, user, collection_id))

    def known_collection(self, collection_id: str) -> Collection:
        """One of anybody's, for callers that have shown their right to it."""
        with reading(self._database) as connection:
            row = connection.execute(collection_rows().where(collections.c.id == collection_id)).one()
            return collection_of(row)

    def stored(self, user: str, collection_id: str, document_id: str | None) -> tuple[str, SearchScope]:
        """Where the vector store has a collection (empty: nowhere yet), or one document of it."""
        with reading(self._database) as connection:
            row = collection_row(connection, user, collection_id)
            if document_id is None:
                return row.store_name or "", SearchScope()
            key = connection.scalar(
                select(documents.c.key).where(
                    documents.c.id == document_id, documents.c.collection_id == collection_id
                )
            )
        return row.store_name or "", SearchScope(documents=() if key is None else (key,))

    def create_collection(self, user: str, name: str, *, shared: bool) -> Collection:
        """Raises InputError for a name that is taken or none."""
        made = _name(name)
        row = {
            "id": uuid.uuid4().hex,
            "name": made,
            "owner": user,
            "shared": shared,
            "generation_id": "",
            "deleting": False,
        }
        try:
            with writing(self._database) as connection:
                connection.execute(insert(collections).values(row))
        except IntegrityError as error:
            raise _taken(made) from error
        return self.collection(user, str(row["id"]))

    def change_collection(
        self, user: str, collection_id: str, name: str | None, shared: bool | None
    ) -> Collection:
        """Rename, share, unshare."""
        given = {"name": None if name is None else _name(name), "shared": shared}
        changes = {key: value for key, value in given.items() if value is not None}
        try:
            with writing(self._database) as connection:
                own_collection_row(connection, user, collection_id)
                if changes:
                    connection.execute(
                        update(collections).where(collections.c.id == collection_id).values(changes)
                    )
        except IntegrityError as error:
            raise _taken(str(given["name"])) from error
        return self.collection(user, collection_id)

    def documents(self, user: str, collection_id: str) -> list[Document]:
        """Those of a collection that can be found, by name."""
        with reading(self._database) as connection:
            collection_row(connection, user, collection_id)
            rows = connection.execute(
                select(documents).where(
                    documents.c.collection_id == collection_id, documents.c.state == "ready"
                )
            ).all()
            found = with_tags(connection, rows)
        return sorted(found, key=lambda one: (one.name.casefold(), one.name))

    def document(self, user: str, document_id: str) -> Document:
        """One of them."""
        with reading(self._database) as connection:
            return with_tags(connection, [document_row(connection, user, document_id)])[0]

    def tag(self, user: str, document_id: str, given: Sequence[str]) -> Document:
        """Replace a document's tags."""
        with writing(self._database) as connection:
            row = own_document_row(connection, user, document_id)
            set_tags(connection, row.key, given)
        return self.document(user, document_id)

    def page(self, user: str, document_id: str, number: int) -> Page:
        """One page's text."""
        with reading(self._database) as connection:
            key = document_row(connection, user, document_id).key
            row = connection.execute(
                select(pages).where(pages.c.document_key == key, pages.c.number == number)
            ).first()
        if row is None:
            raise NotFound(f"The document has no page {number}.", "See how many it has.")
        return Page(number=row.number, text=row.text, label=row.label)

    def original(self, user: str, document_id: str, start: int = 0, n_bytes: int | None = None) -> bytes:
        """The file as it was given, or up to `n_bytes` of it from byte `start` on."""
        with reading(self._database) as connection:
            row = document_row(connection, user, document_id)
            if row.has_original:
                return read_original(connection, row.sha256, start, n_bytes)
        raise NotFound(f"The file of {row.name!r} was not kept.", "Its text is there, page by page.")

    def neighbours(self, user: str, document_id: str, first: int, last: int) -> list[Passage]:
        """Passages `first` to `last` of a document, as far as there are any."""
        with reading(self._database) as connection:
            key = document_row(connection, user, document_id).key
            low = passage_key(key, max(0, first))
            rows = connection.execute(
                select(passages)
                .where(passages.c.key >= low, passages.c.key <= passage_key(key, last))
                .order_by(passages.c.key)
            ).all()
        return [passage_of(row, row.key) for row in rows]

    def passages(self, user: str, collection_id: str, limit: int, offset: int) -> list[tuple[str, Passage]]:
        """(document id, passage), in the order in which documents came."""
        with reading(self._database) as connection:
            collection_row(connection, user, collection_id)
            rows = connection.execute(
                select(documents.c.id.label("document_id"), passages)
                .join(documents, documents.c.key == passages.c.document_key)
                .where(documents.c.collection_id == collection_id, documents.c.state == "ready")
                .order_by(passages.c.key)
                .limit(limit)
                .offset(offset)
            ).all()
        return [(row.document_id, passage_of(row, row.key)) for row in rows]

    def vectors(self, user: str, collection_id: str, limit: int, offset: int) -> list[PassageVector]:
        """Passages with their vectors, in the same order."""
        with reading(self._database) as connection:
            generation_id = collection_row(connection, user, collection_id).generation_id
            rows = connection.execute(
                select(documents.c.id.label("document_id"), documents.c.name, passages, vectors.c.data)
                .join(documents, documents.c.key == passages.c.document_key)
                .join(vectors, vectors.c.passage_key == passages.c.key)
                .where(
                    documents.c.collection_id == collection_id,
                    documents.c.state == "ready",
                    vectors.c.generation_id == generation_id,
                )
                .order_by(passages.c.key)
                .limit(limit)
                .offset(offset)
            ).all()
        if not rows:
            return []
        return [
            PassageVector(
                document_id=row.document_id,
                document_name=row.name,
                passage=passage_of(row, row.key),
                vector=vector,
            )
            for row, vector in zip(rows, unpacked([row.data for row in rows]), strict=True)
        ]

    def _collections(self, user: str) -> list[Collection]:
        with reading(self._database) as connection:
            return [collection_of(row) for row in connection.execute(collection_rows().where(readable(user)))]

    def _make_first(self, user: str) -> None:
        """Two calls at once make one collection: its name is unique."""
        try:
            self.create_collection(user, FIRST_COLLECTION, shared=False)
        except InputError as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise


def with_tags(connection: Connection, rows: Sequence[Row[tuple[object, ...]]]) -> list[Document]:
    """Documents of these rows of `documents`, in their order."""
    keys = [row.key for row in rows]
    found: dict[int, list[str]] = {key: [] for key in keys}
    wanted = select(tags).where(tags.c.document_key.in_(keys)).order_by(tags.c.tag)
    for row in connection.execute(wanted) if keys else ():
        found[row.document_key].append(row.tag)
    return [document_of(row, found[row.key]) for row in rows]


def count_documents(connection: Connection, collection_id: str) -> int:
    """All of a collection, in whatever state."""
    wanted = select(func.count()).select_from(documents).where(documents.c.collection_id == collection_id)
    return connection.scalar(wanted) or 0


def set_tags(connection: Connection, document_key: int, given: Sequence[str]) -> None:
    """Replace a document's tags."""
    connection.execute(delete(tags).where(tags.c.document_key == document_key))
    put_tags(connection, document_key, given)


def put_tags(connection: Connection, document_key: int, given: Sequence[str]) -> None:
    """Tag a document that has no tags yet."""
    if wanted := _tidy_tags(given):
        connection.execute(insert(tags), [{"document_key": document_key, "tag": tag} for tag in wanted])


def _tidy_tags(given: Sequence[str]) -> list[str]:
    """Tags without blanks around them, each once.

    Raises:
        InputError: there are too many, or one is too long.
    """
    wanted = sorted({storable(tag).strip() for tag in given} - {""})
    if len(wanted) > MAX_TAGS or any(len(tag) > MAX_NAME_CHARACTERS for tag in wanted):
        raise InputError(
            f"A document has at most {MAX_TAGS} tags of {MAX_NAME_CHARACTERS} characters.", "Use fewer."
        )
    return wanted


def _name(given: str) -> str:
    name = given.strip()
    if not name or len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        raise InputError(
            f"A collection's name has 1 to {MAX_NAME_CHARACTERS} characters on one line.",
            "Type another name.",
        )
    return name


def _taken(name: str) -> InputError:
    return InputError(f"You have a collection {name!r} already.", "Choose another name.")
