"""What a search asks the catalogue: where to look, and what was found there.

Filters are looked up here, as bound parameters; the vector store gets the numbers of documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, bindparam, exists, select

from serve_apps.catalogue.access import readable
from serve_apps.catalogue.documents import with_tags
from serve_apps.catalogue.fusion import Fused
from serve_apps.catalogue.generations import mismatch
from serve_apps.catalogue.rows import passage_of, storable, unpacked
from serve_apps.catalogue.tables import collections, documents, generations, passages, tags, vectors
from serve_apps.contracts_knowledge import SearchRequest
from serve_apps.contracts_store import SearchScope
from serve_apps.database import reading
from serve_apps.errors import InputError, NotFound
from serve_apps.wire import Vectors
from serve_apps.wire_knowledge import Document, Filters, Hit

# Built once: for so few rows it takes as long as its answer.
_FINDABLE = (
    select(
        documents,
        passages.c.key.label("passage_key"),
        *(column for column in passages.c if column is not passages.c.key),
        vectors.c.data,
    )
    .join(passages, passages.c.document_key == documents.c.key)
    .join(collections, collections.c.id == documents.c.collection_id)
    .join(vectors, vectors.c.passage_key == passages.c.key)
    .where(
        passages.c.key.in_(bindparam("keys", expanding=True)),
        documents.c.state == "ready",
        collections.c.deleting.is_(False),
        vectors.c.generation_id.in_(bindparam("generations", expanding=True)),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A collection to search."""

    collection_id: str
    generation_id: str
    store_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where a search looks."""

    places: tuple[Place, ...]
    scope: SearchScope
    left_out: tuple[str, ...] = ()
    """Names of collections that the query's vector cannot search."""
    is_one_model: bool = True
    """The query's vector can be compared with those of every place."""


class CatalogueSearch:
    """The catalogue's part in a search."""

    def __init__(self, database: Engine) -> None:
        self._database = database

    def plan(self, request: SearchRequest) -> Plan:
        """Where to look.

        Raises:
            NotFound: a collection that the user may not read.
            EmbeddingMismatch: one whose vectors came from another model than the query's.
        """
        with reading(self._database) as connection:
            rows = _wanted(connection, request)
            rows, left_out = _of_one_model(rows, request)
            ids = [row.id for row in rows]
            scope = _scope(connection, ids, request.filters)
        places = tuple(
            Place(collection_id=row.id, generation_id=row.generation_id, store_name=row.store_name)
            for row in rows
        )
        return Plan(
            places=() if scope.documents == () else places,
            scope=scope,
            left_out=left_out,
            is_one_model=all(row.embedding_model == request.embedding_model for row in rows),
        )

    def hits(self, found: Sequence[Fused], plan: Plan, vector: Vectors | None) -> list[Hit]:
        """What was found, as far as it can be found now: in order, with titles, texts and cosines."""
        with reading(self._database) as connection:
            rows = {row.passage_key: row for row in _rows(connection, [one.key for one in found], plan)}
            named = {row.key: row for row in rows.values()}
            told = dict(zip(named, with_tags(connection, list(named.values())), strict=True))
        found_rows = [(one, row) for one in found if (row := rows.get(one.key)) is not None]
        return [_hit(one, row, told[row.key], vector) for one, row in found_rows]


def _wanted(connection: Connection, request: SearchRequest) -> Sequence[Row[Any]]:
    """Collections to search: those with a document that can be found."""
    ids = set(_storable(request.collections))
    found = exists().where(documents.c.collection_id == collections.c.id, documents.c.state == "ready")
    rows = connection.execute(
        select(collections, generations, found.label("has_documents"))
        .outerjoin(generations, generations.c.id == collections.c.generation_id)
        .where(readable(request.user), *([collections.c.id.in_(ids)] if ids else []))
    ).all()
    if ids - {row.id for row in rows}:
        raise NotFound("There is no such collection.", "Choose one from the list.")
    return [row for row in rows if row.has_documents]


def _of_one_model(
    rows: Sequence[Row[Any]], request: SearchRequest
) -> tuple[Sequence[Row[Any]], tuple[str, ...]]:
    """What the query's vector can search, and the names of the rest; none may be left out that was named.

    Raises:
        EmbeddingMismatch: a named collection, or all there are, came from another model.
    """
    if request.method == "bm25":
        return rows, ()
    fitting = [row for row in rows if row.embedding_model == request.embedding_model]
    searched = rows if request.collections or not fitting else fitting
    _check_model(searched, request)
    return searched, tuple(row.name for row in rows if row not in searched)


def _check_model(rows: Sequence[Row[Any]], request: SearchRequest) -> None:
    for row in rows:
        if row.embedding_model != request.embedding_model:
            raise mismatch(row.name, row.embedding_model, request.embedding_model)
        if request.vector is not None and len(request.vector) != row.dimensions:
            raise InputError(
                f"The query's vector has {len(request.vector)} numbers, those of {row.name!r} have"
                f" {row.dimensions}.",
                "Embed the query with the model that the collection names.",
            )


def _scope(connection: Connection, collection_ids: list[str], filters: Filters) -> SearchScope:
    here = documents.c.collection_id.in_(collection_ids)
    limits = _limits(filters)
    if limits:
        found = select(documents.c.key).where(here, documents.c.state == "ready", *limits)
        return SearchScope(documents=tuple(connection.scalars(found)))
    unready = select(documents.c.key).where(here, documents.c.state != "ready")
    return SearchScope(without=tuple(connection.scalars(unready)))


def _limits(filters: Filters) -> list[ColumnElement[bool]]:
    limits: list[ColumnElement[bool]] = []
    if filters.documents:
        limits.append(documents.c.id.in_(_storable(filters.documents)))
    if filters.names:
        limits.append(documents.c.name.in_(_storable(filters.names)))
    if filters.kinds:
        limits.append(documents.c.kind.in_(_storable(filters.kinds)))
    if filters.tags:
        tagged = exists().where(
            tags.c.document_key == documents.c.key, tags.c.tag.in_(_storable(filters.tags))
        )
        limits.append(tagged)
    if filters.added_after_s is not None:
        limits.append(documents.c.added_s >= filters.added_after_s)
    if filters.added_before_s is not None:
        limits.append(documents.c.added_s <= filters.added_before_s)
    return limits


def _storable(values: Sequence[str]) -> list[str]:
    return [storable(value) for value in values]


def _rows(connection: Connection, keys: list[int], plan: Plan) -> Sequence[Row[Any]]:
    """Passages that can be found, each with its document and its vector."""
    generation_ids = [place.generation_id for place in plan.places]
    return connection.execute(_FINDABLE, {"keys": keys, "generations": generation_ids}).all()


def _hit(one: Fused, row: Row[Any], document: Document, vector: Vectors | None) -> Hit:
    return Hit(
        passage=passage_of(row, one.key),
        document=document,
        score=one.score,
        cosine=one.cosine if one.cosine is not None else _cosine(row, vector),
        bm25=one.bm25,
        dense_rank=one.dense_rank,
        bm25_rank=one.bm25_rank,
    )


def _cosine(row: Row[Any], vector: Vectors | None) -> float | None:
    if vector is None:
        return None
    return float(unpacked([row.data])[0] @ vector)
