"""Conversations, their messages and what people thought of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"

_ID = sa.String(32)
_LIVE = sa.text("status = 'writing'")


def upgrade() -> None:
    """Make the tables."""
    _make_conversations()
    _make_messages()
    op.create_table(
        "conversation_writers",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("alive_s", sa.Float, nullable=False),
    )


def _make_conversations() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("folded_title", sa.Text, nullable=False),
        sa.Column("created_s", sa.Float, nullable=False),
        sa.Column("updated_s", sa.Float, nullable=False),
        sa.Column("folder", sa.Text, nullable=False),
        sa.Column("pinned", sa.Boolean, nullable=False),
        sa.Column("shown", _ID, nullable=True),
    )
    op.create_index("ix_conversations_listed", "conversations", ["user", "pinned", "updated_s", "id"])
    op.create_table(
        "conversation_tags",
        sa.Column("conversation_id", _ID, _of_conversation(), primary_key=True),
        sa.Column("tag", sa.Text, primary_key=True),
        sa.Column("ordinal", sa.Integer, nullable=False),
    )


def _make_messages() -> None:
    op.create_table(
        "messages",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("conversation_id", _ID, _of_conversation(), nullable=False),
        sa.Column("parent_id", _ID, nullable=True),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("folded", sa.Text, nullable=False),
        sa.Column("created_s", sa.Float, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("thumb", sa.String(8), nullable=True),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("tokens_per_s", sa.Float, nullable=False),
        sa.Column("first_token_ms", sa.Float, nullable=False),
        sa.Column("n_tokens", sa.Integer, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("error_code", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("writer", _ID, nullable=True),
        sa.Column("stop_wanted", sa.Boolean, nullable=False),
        sa.Column("watched_s", sa.Float, nullable=False),
        sa.Column("notes", sa.JSON, nullable=False),
        sa.Column("waterfall", sa.JSON, nullable=False),
        sa.Column("sources", sa.JSON, nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.UniqueConstraint("conversation_id", "ordinal", name="uq_messages_ordinal"),
        sa.CheckConstraint("role IN ('user', 'assistant')", name="ck_messages_role"),
    )
    _make_index_of_running("ix_messages_writing", "conversation_id", unique=True)
    _make_index_of_running("ix_messages_writer", "writer", unique=False)


def _of_conversation() -> sa.ForeignKey:
    return sa.ForeignKey("conversations.id", ondelete="CASCADE")


def _make_index_of_running(name: str, column: str, *, unique: bool) -> None:
    op.create_index(name, "messages", [column], unique=unique, sqlite_where=_LIVE, postgresql_where=_LIVE)
