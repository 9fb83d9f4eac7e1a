"""ChatGPT's `conversations.json`: a list of trees, `mapping`, of which `current_node` is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from serve_apps.conversation.file import Readable, WholeConversation
from serve_apps.conversation.import_mapping import Node, from_nodes, text_at, time_at
from serve_apps.wire_conversations import StoredMessage

_SAID = ("text", "multimodal_text", "code")
"""Kinds of content that are said; others are thoughts, browsing and instructions."""


def from_chatgpt(entries: Sequence[Any]) -> Readable:
    """Read every conversation; what cannot be read is a problem, and the others are read."""
    found = Readable(source="chatgpt")
    for n, entry in enumerate(entries, 1):
        if not isinstance(entry, dict) or not isinstance(entry.get("mapping"), dict):
            found.problems.append(f"Conversation {n} is broken: it has no messages.")
            continue
        conversation = _conversation(entry, n, found.problems)
        found.conversations.append(conversation)
    return found


def _conversation(entry: dict[str, Any], n: int, problems: list[str]) -> WholeConversation:
    created_s = time_at(entry, "create_time", 0.0)
    given = {key: node for key, node in entry["mapping"].items() if isinstance(node, dict)}
    if n_broken := len(entry["mapping"]) - len(given):
        problems.append(f"Conversation {n}: {n_broken} of its messages are broken.")
    nodes = {
        key: Node(parent=text_at(node, "parent") or None, message=_message(key, node, created_s))
        for key, node in given.items()
    }
    conversation = WholeConversation(
        id=text_at(entry, "conversation_id") or text_at(entry, "id") or f"{n} {created_s}",
        title=text_at(entry, "title"),
        created_s=created_s,
        updated_s=time_at(entry, "update_time", created_s),
    )
    return from_nodes(conversation, nodes, text_at(entry, "current_node"), problems)


def _message(key: str, node: dict[str, Any], otherwise_s: float) -> StoredMessage | None:
    message = node.get("message")
    if not isinstance(message, dict):
        return None
    author, content, metadata = (_object(message, name) for name in ("author", "content", "metadata"))
    role = author.get("role")
    hidden = metadata.get("is_visually_hidden_from_conversation")
    to_a_tool = message.get("recipient") not in {None, "all"}
    if role not in {"user", "assistant"} or hidden or to_a_tool:
        return None
    text = _text(content)
    if not text.strip():
        return None
    return StoredMessage(
        id=key,
        role=role,
        text=text,
        status="sent" if role == "user" else "done",
        created_s=time_at(message, "create_time", otherwise_s),
        model=text_at(metadata, "model_slug"),
    )


def _object(given: dict[str, Any], name: str) -> dict[str, Any]:
    value = given.get(name)
    return value if isinstance(value, dict) else {}


def _text(content: dict[str, Any]) -> str:
    if content.get("content_type", "text") not in _SAID:
        return ""
    parts = content.get("parts")
    if not isinstance(parts, list):
        return text_at(content, "text")
    return "\n\n".join(part for part in (_part(part) for part in parts) if part)


def _part(part: object) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return ""
    kind = text_at(part, "content_type")
    return text_at(part, "text") or ("[picture]" if "image" in kind else "")
