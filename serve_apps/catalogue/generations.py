"""Generations of vectors: the one that is searched, the next one during a re-index, and their copies.

The vector store holds copies: what it lacks is put into it again from here.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, Select, and_, delete, exists, func, insert, select, update

from serve_apps.catalogue.access import own_collection_row
from serve_apps.catalogue.rows import packed, passage_key, unpacked
from serve_apps.catalogue.tables import collections, documents, generations, passages, vectors
from serve_apps.database import reading, writing
from serve_apps.errors import EmbeddingMismatch, InputError, NotFound
from serve_apps.wire import Vectors
from serve_apps.wire_knowledge import Passage

BATCH_ROWS = 1000
"""Vectors that are read for the store together: one megabyte and a half."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """The vectors of a collection by one embedding model, and where the store has them."""

    id: str
    collection_id: str
    embedding_model: str
    dimensions: int
    store_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """What the vector store holds of some passages."""

    keys: list[int]
    documents: list[int]
    texts: list[str]
    vectors: Vectors


class Generations:
    """The vectors of every collection, by model."""

    def __init__(self, database: Engine) -> None:
        self._database = database

    def current(self) -> list[Generation]:
        """Those that searches use."""
        with reading(self._database) as connection:
            wanted = select(generations.c.id).join(
                collections, collections.c.generation_id == generations.c.id
            )
            return [generation_of(connection, one) for one in connection.scalars(wanted).all()]

    def all(self) -> list[Generation]:
        """Also those that a re-index is gathering, or has left."""
        with reading(self._database) as connection:
            ids = connection.scalars(select(generations.c.id)).all()
            return [generation_of(connection, one) for one in ids]

    def of_collection(self, collection_id: str) -> list[Generation]:
        """The current one and one under way."""
        with reading(self._database) as connection:
            wanted = select(generations.c.id).where(generations.c.collection_id == collection_id)
            return [generation_of(connection, one) for one in connection.scalars(wanted).all()]

    def one(self, generation_id: str) -> Generation:
        """Raises NotFound when it is gone."""
        with reading(self._database) as connection:
            return generation_of(connection, generation_id)

    def begin(self, user: str, collection_id: str, embedding_model: str, dimensions: int) -> Generation:
        """The next one; whatever was gathered for another is given up."""
        with writing(self._database) as connection:
            own_collection_row(connection, user, collection_id)
            give_up_unused(connection, collection_id)
            return new_generation(connection, collection_id, embedding_model, dimensions)

    def add(self, generation_id: str, given: Sequence[tuple[str, Passage]], found: Vectors) -> list[int]:
        """Keep vectors of the next one; returns the keys of their passages, 0 where one is gone."""
        with writing(self._database) as connection:
            wanted = generation_of(connection, generation_id)
            here = generations.c.id == generation_id
            connection.execute(update(generations).where(here).values(touched_s=time.time()))
            ids = {document_id for document_id, _ in given}
            rows = connection.execute(
                select(documents.c.id, documents.c.key).where(
                    documents.c.id.in_(ids),
                    documents.c.collection_id == wanted.collection_id,
                    documents.c.state == "ready",
                )
            )
            by_id = {row.id: row.key for row in rows}
            keys = [
                passage_key(by_id[document_id], passage.index) if document_id in by_id else 0
                for document_id, passage in given
            ]
            kept = [n for n, key in enumerate(keys) if key]
            if kept:
                put_vectors(connection, generation_id, [keys[n] for n in kept], found[kept])
        return keys

    def finish(self, generation_id: str) -> str:
        """The next one becomes the current one; returns its collection's id."""
        with writing(self._database) as connection:
            wanted = generation_of(connection, generation_id)
            n_missing = connection.scalar(_missing(wanted)) or 0
            if n_missing:
                raise InputError(
                    f"{n_missing:,} passages have no new vector yet.", "Embed them, too, or index again."
                )
            here = collections.c.id == wanted.collection_id
            if (
                connection.execute(
                    update(collections)
                    .where(here, collections.c.deleting.is_(False))
                    .values(generation_id=generation_id)
                ).rowcount
                == 0
            ):
                raise NotFound("The collection was deleted meanwhile.", "There is nothing to index.")
            give_up_unused(connection, wanted.collection_id)
        return wanted.collection_id

    def left_behind(self, before_s: float) -> list[Generation]:
        """Those that no collection uses and that nobody has added to since `before_s`."""
        with reading(self._database) as connection:
            wanted = select(generations.c.id).where(
                ~exists().where(collections.c.generation_id == generations.c.id),
                generations.c.touched_s < before_s,
            )
            return [generation_of(connection, one) for one in connection.scalars(wanted).all()]

    def forget(self, generation_id: str) -> None:
        """Delete it with its vectors."""
        with writing(self._database) as connection:
            connection.execute(delete(vectors).where(vectors.c.generation_id == generation_id))
            connection.execute(delete(generations).where(generations.c.id == generation_id))

    def n_ready(self, generation: Generation) -> int:
        """Vectors that the store should hold for documents that can be found."""
        with reading(self._database) as connection:
            return (
                connection.scalar(
                    select(func.count())
                    .select_from(vectors)
                    .join(passages, passages.c.key == vectors.c.passage_key)
                    .join(documents, documents.c.key == passages.c.document_key)
                    .where(vectors.c.generation_id == generation.id, documents.c.state == "ready")
                )
                or 0
            )

    def unready(self, collection_id: str) -> list[int]:
        """Keys of documents that are on their way in or out."""
        with reading(self._database) as connection:
            return list(
                connection.scalars(
                    select(documents.c.key).where(
                        documents.c.collection_id == collection_id, documents.c.state != "ready"
                    )
                )
            )

    def copies(self, generation: Generation, document_key: int | None = None) -> Iterator[Copies]:
        """Everything that the store should hold of a generation, or of one document; in batches."""
        after = -1
        while True:
            batch = self._batch(generation, document_key, after)
            if batch is None:
                return
            yield batch
            after = batch.keys[-1]

    def _batch(self, generation: Generation, document_key: int | None, after: int) -> Copies | None:
        wanted = (
            select(passages.c.key, passages.c.document_key, passages.c.text, vectors.c.data)
            .join(vectors, vectors.c.passage_key == passages.c.key)
            .where(vectors.c.generation_id == generation.id, passages.c.key > after)
            .order_by(passages.c.key)
            .limit(BATCH_ROWS)
        )
        if document_key is not None:
            wanted = wanted.where(passages.c.document_key == document_key)
        with reading(self._database) as connection:
            rows = connection.execute(wanted).all()
        if not rows:
            return None
        return Copies(
            keys=[row.key for row in rows],
            documents=[row.document_key for row in rows],
            texts=[row.text for row in rows],
            vectors=unpacked([row.data for row in rows]),
        )


def _missing(generation: Generation) -> Select[int]:
    """Counts the passages that can be found and have no vector in `generation`."""
    has_one = exists().where(
        vectors.c.generation_id == generation.id, vectors.c.passage_key == passages.c.key
    )
    return (
        select(func.count())
        .select_from(passages)
        .join(documents, documents.c.key == passages.c.document_key)
        .where(documents.c.collection_id == generation.collection_id, documents.c.state == "ready", ~has_one)
    )


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


def give_up_unused(connection: Connection, collection_id: str) -> None:
    """Let the next sweep have the generations that a collection does not use."""
    unused = and_(
        generations.c.collection_id == collection_id,
        ~exists().where(collections.c.generation_id == generations.c.id),
    )
    connection.execute(update(generations).where(unused).values(touched_s=0.0))


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


def mismatch(name: str, stored: str, asked: str) -> EmbeddingMismatch:
    """Says which models do not go together, and the way out."""
    return EmbeddingMismatch(
        f"The collection {name!r} was indexed with {stored}, and the embeddings stage runs {asked}.",
        f'Index it again: the button on the documents page, or raydio reindex "{name}".',
    )
