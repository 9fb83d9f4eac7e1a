"""The tables of conversations. A change here needs a step in `serve_apps/migrations/versions`."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from serve_apps.database import metadata

ID_LENGTH = 32
_LIVE = text("status = 'writing'")

conversations = Table(
    "conversations",
    metadata,
    Column("id", String(ID_LENGTH), primary_key=True),
    Column("user", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("folded_title", Text, nullable=False),
    Column("created_s", Float, nullable=False),
    Column("updated_s", Float, nullable=False),
    Column("folder", Text, nullable=False),
    Column("pinned", Boolean, nullable=False),
    Column("shown", String(ID_LENGTH), nullable=True),
    Index("ix_conversations_listed", "user", "pinned", "updated_s", "id"),
)
"""One row a conversation. `shown` is the last message of the branch that is shown; `folded_title` is what
a search compares."""

tags = Table(
    "conversation_tags",
    metadata,
    Column(
        "conversation_id",
        String(ID_LENGTH),
        ForeignKey("conversations.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("tag", Text, primary_key=True),
    Column("ordinal", Integer, nullable=False),
)

messages = Table(
    "messages",
    metadata,
    Column("id", String(ID_LENGTH), primary_key=True),
    Column(
        "conversation_id",
        String(ID_LENGTH),
        ForeignKey("conversations.id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("parent_id", String(ID_LENGTH), nullable=True),
    Column("ordinal", Integer, nullable=False),
    Column("role", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("folded", Text, nullable=False),
    Column("created_s", Float, nullable=False),
    Column("text", Text, nullable=False),
    Column("thumb", String(8), nullable=True),
    Column("comment", Text, nullable=False),
    Column("tokens_per_s", Float, nullable=False),
    Column("first_token_ms", Float, nullable=False),
    Column("n_tokens", Integer, nullable=False),
    Column("error", Text, nullable=False),
    Column("error_code", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("writer", String(ID_LENGTH), nullable=True),
    Column("stop_wanted", Boolean, nullable=False),
    Column("watched_s", Float, nullable=False),
    Column("notes", JSON, nullable=False),
    Column("waterfall", JSON, nullable=False),
    Column("sources", JSON, nullable=False),
    Column("settings", JSON, nullable=False),
    UniqueConstraint("conversation_id", "ordinal", name="uq_messages_ordinal"),
    CheckConstraint("role IN ('user', 'assistant')", name="ck_messages_role"),
    Index("ix_messages_writing", "conversation_id", unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE),
    Index("ix_messages_writer", "writer", sqlite_where=_LIVE, postgresql_where=_LIVE),
)
"""One row a message, every version of it. `ordinal` counts a conversation's messages as they came, so it
orders the versions at one place. `folded` is what a search compares; it stands before the long columns,
because SQLite reads a row from its front. Of an answer that is being written: `writer` is whose it is,
`stop_wanted` and `watched_s` come from other processes. The unique index lets one answer a conversation be
written at a time."""

writers = Table(
    "conversation_writers",
    metadata,
    Column("id", String(ID_LENGTH), primary_key=True),
    Column("place", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("alive_s", Float, nullable=False),
)
"""Processes that write answers; who has not been heard of for a while is dead, and its answers ended."""
