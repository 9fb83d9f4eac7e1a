"""Open WebUI's export: a list of chats, each with `chat.history.messages`, a tree by `parentId`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from serve_apps.conversation.file import Readable, WholeConversation
from serve_apps.conversation.import_mapping import Node, from_nodes, text_at, time_at
from serve_apps.wire_conversations import StoredMessage


def from_openwebui(entries: Sequence[Any]) -> Readable:
    """Read every chat; what cannot be read is a problem, and the others are read."""
    found = Readable(source="openwebui")
    for n, entry in enumerate(entries, 1):
        history = _object(_object(entry, "chat"), "history")
        if not isinstance(history.get("messages"), dict):
            found.problems.append(f"Conversation {n} is broken: it has no messages.")
            continue
        found.conversations.append(_conversation(entry, n, history, found.problems))
    return found


def _conversation(
    entry: dict[str, Any], n: int, history: dict[str, Any], problems: list[str]
) -> WholeConversation:
    created_s = time_at(entry, "created_at", 0.0)
    nodes = {
        key: Node(parent=text_at(message, "parentId") or None, message=_message(key, message, created_s))
        for key, message in history["messages"].items()
        if isinstance(message, dict)
    }
    tags = _object(entry, "meta").get("tags")
    conversation = WholeConversation(
        id=text_at(entry, "id") or f"{n} {created_s}",
        title=text_at(entry, "title") or text_at(entry["chat"], "title"),
        created_s=created_s,
        updated_s=time_at(entry, "updated_at", created_s),
        tags=tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else (),
        pinned=entry.get("pinned") is True,
    )
    return from_nodes(conversation, nodes, text_at(history, "currentId"), problems)


def _message(key: str, message: dict[str, Any], otherwise_s: float) -> StoredMessage | None:
    role, text = message.get("role"), text_at(message, "content")
    if role not in {"user", "assistant"} or not text.strip():
        return None
    return StoredMessage(
        id=key,
        role=role,
        text=text,
        status="sent" if role == "user" else "done",
        created_s=time_at(message, "timestamp", otherwise_s),
        model=text_at(message, "model"),
    )


def _object(given: object, name: str) -> dict[str, Any]:
    value = given.get(name) if isinstance(given, dict) else None
    return value if isinstance(value, dict) else {}
