"""Collections, documents, their pages and passages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None

ID = sa.String(32)
KEY = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables."""
    _collections()
    _documents()
    _parts()
    if op.get_context().dialect.name == "sqlite":
        _words()


def _collections() -> None:
    op.create_table(
        "collections",
        sa.Column("id", ID, primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("shared", sa.Boolean, nullable=False),
        sa.Column("generation_id", ID, nullable=False),
        sa.Column("deleting", sa.Boolean, nullable=False),
        sa.UniqueConstraint("owner", "name"),
    )
    op.create_table(
        "generations",
        sa.Column("id", ID, primary_key=True),
        sa.Column("collection_id", ID, _belongs_to("collections.id"), nullable=False, index=True),
        sa.Column("embedding_model", sa.String(500), nullable=False),
        sa.Column("dimensions", sa.Integer, nullable=False),
        sa.Column("store_name", sa.String(64), nullable=False),
        sa.Column("touched_s", sa.Float, nullable=False),
    )


def _documents() -> None:
    op.create_table(
        "documents",
        sa.Column("key", KEY, primary_key=True, autoincrement=True),
        sa.Column("id", ID, nullable=False, unique=True),
        sa.Column("collection_id", ID, _belongs_to("collections.id"), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("touched_s", sa.Float, nullable=False),
        sa.Column("generation_id", ID, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("media_type", sa.String(200), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False, index=True),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("has_original", sa.Boolean, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("n_pages", sa.Integer, nullable=False),
        sa.Column("n_passages", sa.Integer, nullable=False),
        sa.Column("added_s", sa.Float, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("documents_by_state", "documents", ["collection_id", "state"])
    ready = sa.text("state = 'ready'")
    op.create_index(
        "documents_ready_names",
        "documents",
        ["collection_id", "name"],
        unique=True,
        sqlite_where=ready,
        postgresql_where=ready,
    )


def _parts() -> None:
    op.create_table(
        "document_tags",
        sa.Column("document_key", KEY, _belongs_to("documents.key"), primary_key=True),
        sa.Column("tag", sa.String(200), primary_key=True, index=True),
    )
    op.create_table(
        "pages",
        sa.Column("document_key", KEY, _belongs_to("documents.key"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
    )
    op.create_table(
        "passages",
        sa.Column("key", KEY, primary_key=True, autoincrement=False),
        sa.Column("document_key", KEY, _belongs_to("documents.key"), nullable=False, index=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("page", sa.Integer, nullable=False),
        sa.Column("start", sa.Integer, nullable=False),
        sa.Column("end", sa.Integer, nullable=False),
        sa.Column("headings", sa.Text, nullable=False),
        sa.Column("start_s", sa.Float),
        sa.Column("end_s", sa.Float),
    )
    op.create_table(
        "vectors",
        sa.Column("generation_id", ID, primary_key=True),
        sa.Column(
            "passage_key",
            KEY,
            _belongs_to("passages.key"),
            primary_key=True,
            autoincrement=False,
            index=True,
        ),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "originals",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("piece", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )


def _belongs_to(column: str) -> sa.ForeignKey:
    return sa.ForeignKey(column, ondelete="CASCADE")


def _words() -> None:
    """SQLite's own full-text index of the passages; elsewhere the vector store has one."""
    op.execute(
        "CREATE VIRTUAL TABLE passage_words USING fts5("
        "text, content='passages', content_rowid='key', tokenize='unicode61 remove_diacritics 2')"
    )
    op.execute("CREATE VIRTUAL TABLE passage_vocabulary USING fts5vocab(passage_words, row)")
    add = "INSERT INTO passage_words(rowid, text) VALUES (new.key, new.text);"
    drop = "INSERT INTO passage_words(passage_words, rowid, text) VALUES ('delete', old.key, old.text);"
    op.execute(f"CREATE TRIGGER passages_added AFTER INSERT ON passages BEGIN {add} END")
    op.execute(f"CREATE TRIGGER passages_deleted AFTER DELETE ON passages BEGIN {drop} END")
    op.execute(f"CREATE TRIGGER passages_changed AFTER UPDATE OF text ON passages BEGIN {drop} {add} END")
