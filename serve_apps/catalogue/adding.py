"""Documents on their way into the catalogue.

A document is `adding` until its commit, then `ready`, then `deleting` until all of it is gone. Each
change of state is one transaction, so that a crash leaves it before or after.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Engine, Row, and_, delete, insert, select, update

from serve_apps.catalogue.access import own_collection_row
from serve_apps.catalogue.documents import count_documents, put_tags, set_tags, with_tags
from serve_apps.catalogue.generations import (
    Generation,
    generation_of,
    give_up_unused,
    mismatch,
    new_generation,
    put_vectors,
)
from serve_apps.catalogue.leaving import Leaving, count_rows, mark
from serve_apps.catalogue.originals import keep_original
from serve_apps.catalogue.rows import passage_row, storable
from serve_apps.catalogue.tables import collections, documents, pages, passages
from serve_apps.database import reading, writing
from serve_apps.errors import EmbeddingMismatch, InputError, NotFound
from serve_apps.wire import Vectors
from serve_apps.wire_knowledge import Document, NewDocument, Page, Passage, Ticket


class Adding:
    """The way in."""

    def __init__(self, database: Engine) -> None:
        self._database = database

    def begin(
        self, user: str, collection_id: str, document: NewDocument, embedding_model: str, dimensions: int
    ) -> tuple[Ticket, Generation]:
        """A document in state `adding`, and where its vectors belong."""
        _check(document, embedding_model, dimensions)
        document = replace(document, name=storable(document.name), url=storable(document.url))
        with writing(self._database) as connection:
            row = own_collection_row(connection, user, collection_id)
            generation = _generation_for(connection, row, embedding_model, dimensions)
            same = _same(connection, collection_id, document)
            if same is not None:
                if document.tags:
                    set_tags(connection, same.key, document.tags)
                return Ticket(document_id=same.id, collection_id=collection_id, unchanged=True), generation
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
                keep_original(connection, row, original)
            numbers = [page.number for page in given]
            here = pages.c.document_key == row.key
            connection.execute(delete(pages).where(here, pages.c.number.in_(numbers)))
            if given:
                rows = [_page_row(page) for page in given]
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
            return count_rows(connection, passages, document_key)

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
                "n_pages": count_rows(connection, pages, row.key),
                "n_passages": count_rows(connection, passages, row.key),
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
    give_up_unused(connection, collection.id)
    return made


def _same(connection: Connection, collection_id: str, document: NewDocument) -> Row[int, str] | None:
    return connection.execute(
        select(documents.c.key, documents.c.id).where(
            documents.c.collection_id == collection_id,
            documents.c.name == document.name,
            documents.c.sha256 == document.sha256,
            documents.c.state == "ready",
        )
    ).first()


def _insert(connection: Connection, document_id: str, generation: Generation, document: NewDocument) -> None:
    now_s = time.time()
    key = connection.execute(
        insert(documents)
        .values(
            id=document_id,
            collection_id=generation.collection_id,
            generation_id=generation.id,
            state="adding",
            touched_s=now_s,
            added_s=now_s,
            name=document.name,
            kind=document.kind,
            media_type=document.media_type,
            sha256=document.sha256,
            size_bytes=document.size_bytes,
            url=document.url,
            has_original=False,
            n_pages=0,
            n_passages=0,
        )
        .returning(documents.c.key)
    ).scalar_one()
    put_tags(connection, key, document.tags)


def _page_row(page: Page) -> dict[str, Any]:
    return {"number": page.number, "text": storable(page.text), "label": storable(page.label)}


def _check(document: NewDocument, embedding_model: str, dimensions: int) -> None:
    hexadecimal = len(document.sha256) == 64 and set(document.sha256) <= set("0123456789abcdef")  # noqa: PLR2004
    if not document.name.strip() or not hexadecimal:
        raise InputError("A document needs a name and the SHA-256 of its bytes.", "Give both.")
    if not embedding_model or not 1 <= dimensions <= 32_768:  # noqa: PLR2004 -- Milvus' limit
        raise InputError(
            "The embedding model has no name or an impossible size.", "Check the embeddings stage."
        )
