"""What imports from other products share: trees whose nodes are partly not messages, and careful reading."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serve_apps.conversation.file import WholeConversation, tidy
from serve_apps.wire_conversations import StoredMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of another product's tree."""

    parent: str | None
    message: StoredMessage | None
    """None: a node that is skipped; what follows it follows its parent."""


def text_at(given: Mapping[str, Any], name: str) -> str:
    """A string field; empty where there is none."""
    value = given.get(name)
    return value if isinstance(value, str) else ""


def time_at(given: Mapping[str, Any], name: str, otherwise: float) -> float:
    """A time in seconds; `otherwise` where there is no sensible one."""
    value = given.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return otherwise
    return float(value) if value >= 0 else otherwise


def from_nodes(
    conversation: WholeConversation, nodes: Mapping[str, Node], last: str, problems: list[str]
) -> WholeConversation:
    """The conversation with the messages of `nodes` in it; `last` is the end of the branch that is shown."""
    messages = []
    for key, node in nodes.items():
        if node.message is not None:
            messages.append(_placed(node.message, _kept_above(key, nodes)))
    shown = last if last in nodes and nodes[last].message else _kept_above(last, nodes)
    made = WholeConversation(
        id=conversation.id,
        title=conversation.title,
        created_s=conversation.created_s,
        updated_s=conversation.updated_s,
        folder=conversation.folder,
        tags=conversation.tags,
        pinned=conversation.pinned,
        shown=shown,
        messages=tuple(sorted(messages, key=lambda message: message.created_s)),
    )
    return tidy(made, problems)


def _placed(message: StoredMessage, parent_id: str | None) -> StoredMessage:
    return StoredMessage(
        id=message.id,
        role=message.role,
        text=message.text,
        status=message.status,
        created_s=message.created_s,
        parent_id=parent_id,
        model=message.model,
    )


def _kept_above(key: str, nodes: Mapping[str, Node]) -> str | None:
    """The nearest message above a node."""
    seen = {key}
    parent = nodes[key].parent if key in nodes else None
    while parent is not None and parent in nodes and parent not in seen:
        if nodes[parent].message is not None:
            return parent
        seen.add(parent)
        parent = nodes[parent].parent
    return None
