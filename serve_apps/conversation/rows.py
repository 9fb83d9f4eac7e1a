"""Rows of the tables of conversations, and the values on the wire that they hold."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from serve_apps.wire import Source, Span, TurnRequest
from serve_apps.wire_conversations import ConversationSummary, StoredMessage

Row = Mapping[Any, Any]
"""One row by its columns' names; SQLAlchemy's rows have other keys, too."""
TITLE_CHARACTERS = 60
"""About how long a title is that a question gives."""


def new_id() -> str:
    """32 hexadecimal digits: the time in milliseconds, so that new rows lie together, and 80 random bits."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


def clean(text: str) -> str:
    """The text as both databases can hold it: without NUL and halves of characters."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def folded(text: str) -> str:
    """What a search compares: case does not count."""
    return text.casefold()


def title_of(question: str) -> str:
    """The question's first words."""
    line = " ".join(question.split())
    if len(line) <= TITLE_CHARACTERS:
        return line
    words = line[: TITLE_CHARACTERS + 1].rpartition(" ")[0]
    return (words or line[:TITLE_CHARACTERS]).rstrip(" ,;:–-") + "…"


def message_row(message_id: str, conversation_id: str, **values: Any) -> dict[str, Any]:
    """A whole row, empty where `values` says nothing."""
    text = clean(values.pop("text", ""))
    row: dict[str, Any] = {
        "id": message_id,
        "conversation_id": conversation_id,
        "parent_id": None,
        "text": text,
        "folded": folded(text),
        "created_s": time.time(),
        "thumb": None,
        "comment": "",
        "tokens_per_s": 0.0,
        "first_token_ms": 0.0,
        "n_tokens": 0,
        "error": "",
        "error_code": "",
        "model": "",
        "writer": None,
        "stop_wanted": False,
        "watched_s": 0.0,
        "notes": [],
        "waterfall": [],
        "sources": [],
        "settings": {},
    }
    return {**row, **values}


def answer_values(message: StoredMessage) -> dict[str, Any]:
    """The columns of an answer that change while it is written."""
    text = clean(message.text)
    return {
        "text": text,
        "folded": folded(text),
        "status": message.status,
        "tokens_per_s": message.tokens_per_s,
        "first_token_ms": message.first_token_ms,
        "n_tokens": message.n_tokens,
        "error": clean(message.error),
        "error_code": clean(message.error_code),
        "model": clean(message.model),
        "notes": list(message.notes),
        "waterfall": [asdict(span) for span in message.waterfall],
        "sources": [asdict(source) for source in message.sources],
    }


def settings_of(turn: TurnRequest) -> dict[str, Any]:
    """How an answer was asked for, beside the messages."""
    values = asdict(turn)
    for name in ("messages", "caller", "user"):
        del values[name]
    return values


def message_of(row: Row, siblings: tuple[str, ...] = ()) -> StoredMessage:
    """The message of a row; `siblings` are the ids of all versions at its place, its own among them."""
    siblings = siblings or (row["id"],)
    return StoredMessage(
        id=row["id"],
        role=row["role"],
        text=row["text"],
        status=row["status"],
        created_s=row["created_s"],
        parent_id=row["parent_id"],
        sources=tuple(source_of(source) for source in row["sources"]),
        waterfall=tuple(Span(**span) for span in row["waterfall"]),
        tokens_per_s=row["tokens_per_s"],
        first_token_ms=row["first_token_ms"],
        n_tokens=row["n_tokens"],
        notes=tuple(row["notes"]),
        error=row["error"],
        error_code=row["error_code"],
        model=row["model"],
        thumb=row["thumb"],
        comment=row["comment"],
        branch=siblings.index(row["id"]) + 1,
        n_branches=len(siblings),
        siblings=siblings,
    )


def source_of(stored: Mapping[str, Any]) -> Source:
    """A source as it was stored, by this version or an older one."""
    known = {name: value for name, value in stored.items() if name in Source.__slots__}
    return Source(**{**known, "headings": tuple(known.get("headings", ()))})


def summary_of(row: Row, tags: tuple[str, ...] = (), excerpt: str = "") -> ConversationSummary:
    """The summary of a row that has a column `running`, too."""
    return ConversationSummary(
        id=row["id"],
        title=row["title"],
        created_s=row["created_s"],
        updated_s=row["updated_s"],
        folder=row["folder"],
        tags=tags,
        pinned=row["pinned"],
        running=bool(row["running"]),
        excerpt=excerpt,
    )
