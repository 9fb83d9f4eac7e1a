"""A conversation as Markdown: who said what when, with sources as footnotes."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from serve_apps.conversation.file import WholeConversation
from serve_apps.conversation.tree import Tree
from serve_apps.wire_conversations import StoredMessage

_NUMBERS = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]*`)|\[(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\](?![(:])", re.DOTALL)
"""Code, which is left alone, or the numbers of sources."""
_STATUS = {
    "stopped": "Stopped before its end.",
    "interrupted": "Interrupted before its end.",
    "failed": "Failed.",
    "writing": "Still being written.",
}


def to_markdown(conversation: WholeConversation) -> str:
    """The branch that is shown."""
    parts = [f"# {_one_line(conversation.title)}", f"*{subtitle(conversation)}*"]
    for n, message in enumerate(shown_messages(conversation), 1):
        parts += _message(message, n)
    return "\n\n".join(parts) + "\n"


def shown_messages(conversation: WholeConversation) -> list[StoredMessage]:
    """The messages of the branch that is shown, oldest first."""
    by_id = {message.id: message for message in conversation.messages}
    tree = Tree(
        [{"id": m.id, "parent_id": m.parent_id, "ordinal": n} for n, m in enumerate(conversation.messages)]
    )
    return [by_id[row["id"]] for row in tree.branch(conversation.shown)]


def subtitle(conversation: WholeConversation) -> str:
    """When it was, and where it is filed."""
    n_messages = len(shown_messages(conversation))
    words = [
        f"{n_messages} {'message' if n_messages == 1 else 'messages'}",
        f"begun {when(conversation.created_s)}",
    ]
    words += [f"in {conversation.folder}"] if conversation.folder else []
    return " · ".join([*words, *(f"#{tag}" for tag in conversation.tags)])


def when(unix_s: float) -> str:
    """A time for people, of whatever year a file says."""
    try:
        return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError, OSError):
        return "at an unknown time"


def who(message: StoredMessage) -> str:
    """Who says it."""
    if message.role == "user":
        return "You"
    return f"Raydio ({message.model})" if message.model else "Raydio"


def status_line(message: StoredMessage) -> str:
    """Why an answer is not whole; empty when it is."""
    line = _STATUS.get(message.status, "")
    return f"{line} {message.error}".strip() if message.status == "failed" else line


def _message(message: StoredMessage, n: int) -> list[str]:
    parts = [f"## {_one_line(who(message))}", f"*{when(message.created_s)}*"]
    if message.text.strip():
        parts.append(_with_footnotes(message, n))
    status = status_line(message)
    parts += [f"> {_one_line(note)}" for note in (*message.notes, *([status] if status else []))]
    parts += [
        f"[^{n}-{k}]: **{_one_line(source.title)}**: {_one_line(source.text)}"
        for k, source in enumerate(message.sources, 1)
    ]
    return parts


def _with_footnotes(message: StoredMessage, n: int) -> str:
    def footnotes(found: re.Match[str]) -> str:
        numbers = [int(number) for number in re.findall(r"\d+", found.group(2) or "")]
        if not numbers or not all(1 <= number <= len(message.sources) for number in numbers):
            return found.group(0)
        return "".join(f"[^{n}-{number}]" for number in numbers)

    return _NUMBERS.sub(footnotes, message.text) if message.sources else message.text


def _one_line(text: str) -> str:
    return " ".join(text.split())
