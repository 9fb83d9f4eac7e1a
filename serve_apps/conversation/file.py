"""A whole conversation as a value, every version of every message; and our JSON file of them."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from serve_apps.wire_conversations import StoredMessage

FORMAT = "raydio"
VERSION = 1
"""Files of a newer version are refused; the reader of this one reads all older ones."""
_OF_PLACE = ("branch", "n_branches", "siblings")


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeConversation:
    """A conversation with all its branches."""

    id: str
    """Where it came from; an import makes an id of its own from it."""
    title: str
    created_s: float
    updated_s: float
    folder: str = ""
    tags: tuple[str, ...] = ()
    pinned: bool = False
    shown: str | None = None
    """The last message of the branch that is shown; None: the newest."""
    messages: tuple[StoredMessage, ...] = ()
    """Parents before their children; versions of a message in their order."""
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    """How an answer was asked for, by its message's id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readable:
    """What a file holds that can be imported, and what cannot, in words."""

    source: str
    """Whose file it is: part of the ids that an import makes."""
    conversations: list[WholeConversation] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


_CONVERSATION = TypeAdapter(WholeConversation)


def to_json(conversations: Sequence[WholeConversation]) -> bytes:
    """Our file of them."""
    body = [_plain(conversation) for conversation in conversations]
    file = {"format": FORMAT, "version": VERSION, "conversations": body}
    return orjson.dumps(file, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY)


def _plain(conversation: WholeConversation) -> dict[str, Any]:
    plain = asdict(conversation)
    for message in plain["messages"]:
        for name in _OF_PLACE:
            del message[name]
    return plain


def from_json(file: dict[str, Any]) -> Readable:
    """Read what `to_json` wrote, whoever changed it since."""
    found = Readable(source=FORMAT)
    entries = file.get("conversations")
    for n, entry in enumerate(entries if isinstance(entries, list) else [], 1):
        try:
            conversation = _CONVERSATION.validate_python(entry)
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in wrong["loc"])
            found.problems.append(f"Conversation {n} is broken: {where}: {wrong['msg']}.")
            continue
        found.conversations.append(tidy(conversation, found.problems))
    return found


def tidy(conversation: WholeConversation, problems: list[str]) -> WholeConversation:
    """The same with a sound tree: parents first, nothing twice, no circles, no answer under way.

    Args:
        conversation: as a file gave it.
        problems: what had to be left out is added, in words.
    """
    known = {message.id: message for message in conversation.messages}
    ordered = _parents_first(list(known.values()))
    if n_lost := len(conversation.messages) - len(ordered):
        problems.append(f"{conversation.title[:60]!r}: {n_lost} of its messages could not be placed.")
    return replace(
        conversation,
        messages=tuple(_at_rest(message, known) for message in ordered),
        shown=conversation.shown if conversation.shown in {m.id for m in ordered} else None,
    )


def _parents_first(messages: Sequence[StoredMessage]) -> list[StoredMessage]:
    """In the order given, except that parents come first; those in circles are left out."""
    place = {message.id: n for n, message in enumerate(messages)}
    children: dict[str | None, list[int]] = {}
    for n, message in enumerate(messages):
        parent = message.parent_id if message.parent_id in place else None
        children.setdefault(parent, []).append(n)
    ready = children.get(None, [])
    heapq.heapify(ready)
    ordered: list[StoredMessage] = []
    while ready:
        ordered.append(messages[heapq.heappop(ready)])
        for child in children.get(ordered[-1].id, []):
            heapq.heappush(ready, child)
    return ordered


def _at_rest(message: StoredMessage, known: dict[str, StoredMessage]) -> StoredMessage:
    status = message.status
    if message.role == "user":
        status = "sent"
    elif status in {"sent", "writing"}:
        status = "interrupted" if status == "writing" else "done"
    parent = message.parent_id if message.parent_id in known else None
    return replace(message, status=status, parent_id=parent, branch=1, n_branches=1, siblings=())
