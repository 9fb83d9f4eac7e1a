"""Documents on their way into the catalogue and out of it.

A document is `adding` until its commit, then `ready`, then `deleting` until all of it is gone. Each
change of state is one transaction, so that a crash leaves it before or after.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Engine, Row, and_, delete, exists, func, insert, or_, select, text, update

from serve_apps.catalogue import count_documents, tidy_tags, with_tags
from serve_apps.catalogue_access import own_collection_row, own_document_row
from serve_apps.catalogue_rows import packed, passage_row
from serve_apps.catalogue_tables import (
    collections,
    documents,
    generations,
    originals,
    pages,
    passages,
    tags,
    vectors,
)
from serve_apps.database import reading, writing
from serve_apps.errors import EmbeddingMismatch, InputError, NotFound
from serve_apps.wire import Vectors
from serve_apps.wire_knowledge import Document, NewDocument, Page, Passage, Ticket

LEASE_S = 15 * 60.0
"""A document that is begun and then not touched for so long has been given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """The vectors of a collection by one embedding model, and where the store has them."""

    id: str
    collection_id: str
    embedding_model: str
    dimensions: int
    store_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """A document that nothing finds any more and that is to be removed."""

    key: int
    collection_id: str
    n_passages: int


class Adding:
    """The ways in and out."""

    def __init__(self, database: Engine) -> None:
        self._database = database

    # ---- in ------------------------------------------------------------------------------------

    def begin(
        self, user: str, collection_id: str, document: NewDocument, embedding_model: str, dimensions: int
    ) -> tuple[Ticket, Generation]:
        """A document in state `adding`, and where its vectors belong."""
        _check(document, embedding_model, dimensions)
        with writing(self._database) as connection:
            row = own_collection_row(connection, user, collection_id)
            generation = _generation_for(connection, row, embedding_model, dimensions)
            same = _same(connection, collection_id, document)
            if same is not None:
                return Ticket(document_id=same, collection_id=collection_id, unchanged=True), generation
            document_id = uuid.uuid4().hex
            _insert(connection, document_id, generation, document)
        return Ticket(document_id=document_id, collection_id=collection_id), generation

    def generation(self, ticket: Ticket) -> tuple[int, Generation]:
        """The key of the document that a ticket is for, and where its vectors belong."""
        with reading(self._database) as connection:
            row = _begun(connection, ticket)
            return row.key, generation_of(connection, row.generation_id)

    def add_pages(self, ticket: Ticket, given: Sequence[Page], original: bytes | None) -> None:
        """Store pages, in place of those of the same numbers, and the file."""
        with writing(self._database) as connection:
            row = _renewed(connection, ticket)
            if original is not None:
                _keep(connection, row, original)
            numbers = [page.number for page in given]
            here = pages.c.document_key == row.key
            connection.execute(delete(pages).where(here, pages.c.number.in_(numbers)))
            if given:
                rows = [{"number": page.number, "text": page.text, "label": page.label} for page in given]
                connection.execute(insert(pages).values(document_key=row.key), rows)

    def add_passages(self, ticket: Ticket, given: Sequence[Passage], found: Vectors) -> None:
        """Store passages with their vectors, in place of those of the same indexes."""
        with writing(self._database) as connection:
            row = _renewed(connection, ticket)
            rows = [passage_row(row.key, passage) for passage in given]
            keys = [one["key"] for one in rows]
            connection.execute(delete(passages).where(passages.c.key.in_(keys)))
            connection.execute(insert(passages), rows)
            put_vectors(connection, row.generation_id, keys, found)

    def n_passages(self, document_key: int) -> int:
        """How many have been stored."""
        with reading(self._database) as connection:
            return _count(connection, passages, document_key)

    def commit(self, ticket: Ticket) -> tuple[Document, list[Leaving]]:
        """Make a document `ready`, and the one it replaces `deleting`, at once."""
        with writing(self._database) as connection:
            connection.execute(
                select(collections).where(collections.c.id == ticket.collection_id).with_for_update()
            )
            row = _begun(connection, ticket)
            current = connection.scalar(
                select(collections.c.generation_id).where(collections.c.id == row.collection_id)
            )
            if current != row.generation_id:
                raise EmbeddingMismatch(
                    f"The collection was indexed again while {row.name!r} was being added.",
                    "Add the document again.",
                )
            replaced = mark(
                connection,
                documents.c.collection_id == row.collection_id,
                documents.c.name == row.name,
                documents.c.state == "ready",
            )
            counts = {
                "n_pages": _count(connection, pages, row.key),
                "n_passages": _count(connection, passages, row.key),
            }
            ready = {"state": "ready", "added_s": time.time(), **counts}
            here = documents.c.key == row.key
            connection.execute(update(documents).where(here).values(ready))
            made = with_tags(connection, connection.execute(select(documents).where(here)).all())[0]
        return made, replaced

    def ready(self, ticket: Ticket) -> Document | None:
        """The document of a ticket, if it has been committed already."""
        with reading(self._database) as connection:
            rows = connection.execute(
                select(documents).where(documents.c.id == ticket.document_id, documents.c.state == "ready")
            ).all()
            return with_tags(connection, rows)[0] if rows else None

    # ---- out -----------------------------------------------------------------------------------

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

    def left_behind(self, now_s: float) -> list[Leaving]:
        """What crashes left: documents half deleted, and those begun and given up."""
        stale = and_(documents.c.state == "adding", documents.c.touched_s < now_s - LEASE_S)
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
            connection.execute(delete(documents).where(documents.c.key.in_(keys)))
            _delete_originals(connection)

    def forget_collection(self, collection_id: str) -> None:
        """The same for a collection and all that is in it."""
        with writing(self._database) as connection:
            connection.execute(delete(documents).where(documents.c.collection_id == collection_id))
            connection.execute(delete(collections).where(collections.c.id == collection_id))
            _delete_originals(connection)


def generation_of(connection: Connection, generation_id: str) -> Generation:
    """The generation of this id.

    Raises:
        NotFound: it was replaced, or given up.
    """
    row = connection.execute(select(generations).where(generations.c.id == generation_id)).first()
    if row is None:
        raise NotFound("This index of the collection is gone.", "Index the collection again.")
    return Generation(
        id=row.id,
        collection_id=row.collection_id,
        embedding_model=row.embedding_model,
        dimensions=row.dimensions,
        store_name=row.store_name,
    )


def new_generation(
    connection: Connection, collection_id: str, embedding_model: str, dimensions: int
) -> Generation:
    """A generation without vectors."""
    made = Generation(
        id=uuid.uuid4().hex,
        collection_id=collection_id,
        embedding_model=embedding_model,
        dimensions=dimensions,
        store_name=f"raydio_{uuid.uuid4().hex}",
    )
    values = {
        "id": made.id,
        "collection_id": collection_id,
        "embedding_model": embedding_model,
        "dimensions": dimensions,
        "store_name": made.store_name,
        "touched_s": time.time(),
    }
    connection.execute(insert(generations).values(values))
    return made


def put_vectors(connection: Connection, generation_id: str, keys: Sequence[int], found: Vectors) -> None:
    """Keep vectors of passages, shape (len(keys), d), in place of earlier ones."""
    connection.execute(
        delete(vectors).where(vectors.c.generation_id == generation_id, vectors.c.passage_key.in_(keys))
    )
    rows = [
        {"generation_id": generation_id, "passage_key": key, "data": packed(vector)}
        for key, vector in zip(keys, found, strict=True)
    ]
    connection.execute(insert(vectors), rows)


def mark(connection: Connection, *which: Any) -> list[Leaving]:
    """Set documents to `deleting`."""
    rows = connection.execute(select(documents).where(*which)).all()
    keys = [row.key for row in rows]
    if keys:
        connection.execute(update(documents).where(documents.c.key.in_(keys)).values(state="deleting"))
    return [
        Leaving(
            key=row.key, collection_id=row.collection_id, n_passages=_count(connection, passages, row.key)
        )
        for row in rows
    ]


def _begun(connection: Connection, ticket: Ticket) -> Row[Any]:
    """The row of a document that is being added.

    Raises:
        NotFound: it was committed, abandoned or given up.
    """
    here = and_(documents.c.id == ticket.document_id, documents.c.state == "adding")
    row = connection.execute(select(documents).where(here)).first()
    if row is None:
        raise NotFound("This document is not being added any more.", "Add it again.")
    return row


def _renewed(connection: Connection, ticket: Ticket) -> Row[Any]:
    """The same, its lease beginning anew."""
    row = _begun(connection, ticket)
    here = documents.c.key == row.key
    connection.execute(update(documents).where(here).values(touched_s=time.time()))
    return row


def _generation_for(
    connection: Connection, collection: Row[Any], embedding_model: str, dimensions: int
) -> Generation:
    """The collection's generation; a new one where there is none, or none that anything depends on."""
    if collection.generation_id:
        current = generation_of(connection, collection.generation_id)
        if (current.embedding_model, current.dimensions) == (embedding_model, dimensions):
            return current
        if count_documents(connection, collection.id):
            raise mismatch(collection.name, current.embedding_model, embedding_model)
    made = new_generation(connection, collection.id, embedding_model, dimensions)
    here = collections.c.id == collection.id
    connection.execute(update(collections).where(here).values(generation_id=made.id))
    return made


def mismatch(name: str, stored: str, asked: str) -> EmbeddingMismatch:
    """Says which models do not go together, and the way out."""
    return EmbeddingMismatch(
        f"The collection {name!r} was indexed with {stored}, and the embeddings stage runs {asked}.",
        f'Index it again: the button on the documents page, or raydio reindex "{name}".',
    )


def _same(connection: Connection, collection_id: str, document: NewDocument) -> str | None:
    found: str | None = connection.scalar(
        select(documents.c.id).where(
            documents.c.collection_id == collection_id,
            documents.c.name == document.name,
            documents.c.sha256 == document.sha256,
            documents.c.state == "ready",
        )
    )
    return found


def _insert(connection: Connection, document_id: str, generation: Generation, document: NewDocument) -> None:
    now_s = time.time()
    given = replace(document, tags=())
    made = connection.execute(
        insert(documents).values(
            id=document_id,
            collection_id=generation.collection_id,
            generation_id=generation.id,
            state="adding",
            touched_s=now_s,
            added_s=now_s,
            name=given.name,
            kind=given.kind,
            media_type=given.media_type,
            sha256=given.sha256,
            size_bytes=given.size_bytes,
            url=given.url,
            has_original=False,
            n_pages=0,
            n_passages=0,
        )
    )
    (key,) = made.inserted_primary_key or (None,)
    wanted = tidy_tags(document.tags)
    if wanted:
        connection.execute(insert(tags), [{"document_key": key, "tag": tag} for tag in wanted])


def _keep(connection: Connection, document: Row[Any], original: bytes) -> None:
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


def _delete_originals(connection: Connection) -> None:
    """Delete the files that no document has any more."""
    _queue_for_originals(connection)
    kept = exists().where(documents.c.sha256 == originals.c.sha256, documents.c.has_original)
    connection.execute(delete(originals).where(~kept))


def _queue_for_originals(connection: Connection) -> None:
    """Who looks whether a file is still needed, and who needs it, take turns; SQLite's writers do anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE originals IN SHARE ROW EXCLUSIVE MODE"))


def _count(connection: Connection, table: Any, document_key: int) -> int:
    wanted = select(func.count()).select_from(table).where(table.c.document_key == document_key)
    return connection.scalar(wanted) or 0


def _check(document: NewDocument, embedding_model: str, dimensions: int) -> None:
    hexadecimal = len(document.sha256) == 64 and set(document.sha256) <= set("0123456789abcdef")  # noqa: PLR2004
    if not document.name.strip() or not hexadecimal:
        raise InputError("A document needs a name and the SHA-256 of its bytes.", "Give both.")
    if not embedding_model or not 1 <= dimensions <= 32_768:  # noqa: PLR2004 -- Milvus' limit
        raise InputError(
            "The embedding model has no name or an impossible size.", "Check the embeddings stage."
        )
