"""Tables of the catalogue: collections, documents, their pages, passages, vectors and originals."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from serve_apps.database import metadata

ID = String(32)
"""A UUID, hexadecimal."""
KEY = BigInteger().with_variant(Integer, "sqlite")
"""A number of ours, never used twice."""
MAX_PASSAGES = 1 << 20
"""Of one document: a passage's key is its document's key times this, plus its index."""

collections = Table(
    "collections",
    metadata,
    Column("id", ID, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("owner", String(200), nullable=False),
    Column("shared", Boolean, nullable=False),
    Column("generation_id", ID, nullable=False),  # empty before the first document
    Column("deleting", Boolean, nullable=False),
    UniqueConstraint("owner", "name"),
)

generations = Table(
    "generations",
    metadata,
    # The vectors of a collection by one embedding model; a re-index gathers the next one beside it.
    Column("id", ID, primary_key=True),
    Column("collection_id", ID, ForeignKey("collections.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("embedding_model", String(500), nullable=False),
    Column("dimensions", Integer, nullable=False),
    Column("store_name", String(64), nullable=False),  # the vector store's collection
    Column("touched_s", Float, nullable=False),
)

documents = Table(
    "documents",
    metadata,
    Column("key", KEY, primary_key=True, autoincrement=True),
    Column("id", ID, nullable=False, unique=True),
    Column("collection_id", ID, ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
    Column("state", String(8), nullable=False),  # adding, ready, deleting
    Column("touched_s", Float, nullable=False),
    Column("generation_id", ID, nullable=False),  # what its vectors were begun for
    Column("name", Text, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("media_type", String(200), nullable=False),
    Column("sha256", String(64), nullable=False, index=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("has_original", Boolean, nullable=False),
    Column("url", Text, nullable=False),
    Column("n_pages", Integer, nullable=False),
    Column("n_passages", Integer, nullable=False),
    Column("added_s", Float, nullable=False),
    Index("documents_by_state", "collection_id", "state"),
    # One name, one findable document: whatever two replicas do at once.
    Index(
        "documents_ready_names",
        "collection_id",
        "name",
        unique=True,
        sqlite_where=text("state = 'ready'"),
        postgresql_where=text("state = 'ready'"),
    ),
    sqlite_autoincrement=True,
)


def _document_key(*, primary: bool) -> Column[int]:
    return Column(
        "document_key",
        KEY,
        ForeignKey("documents.key", ondelete="CASCADE"),
        primary_key=primary,
        nullable=False,
        index=not primary,
    )


tags = Table(
    "document_tags",
    metadata,
    _document_key(primary=True),
    Column("tag", String(200), primary_key=True, index=True),
)

pages = Table(
    "pages",
    metadata,
    _document_key(primary=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False),
    Column("label", Text, nullable=False),
)

passages = Table(
    "passages",
    metadata,
    Column("key", KEY, primary_key=True, autoincrement=False),
    _document_key(primary=False),
    Column("text", Text, nullable=False),
    Column("page", Integer, nullable=False),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
    Column("headings", Text, nullable=False),  # a JSON list
    Column("start_s", Float),
    Column("end_s", Float),
)

vectors = Table(
    "vectors",
    metadata,
    # No foreign key to generations: a whole one is deleted by one statement, in its own time.
    Column("generation_id", ID, primary_key=True),
    Column(
        "passage_key",
        KEY,
        ForeignKey("passages.key", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
        index=True,
    ),
    Column("data", LargeBinary, nullable=False),  # float16, little-endian
)

originals = Table(
    "originals",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("piece", Integer, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)
"""Files in pieces of `PIECE_BYTES`: databases read a value as a whole, also for a part of it."""
PIECE_BYTES = 2**20
