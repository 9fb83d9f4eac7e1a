"""The list of conversations: filtered, searched, in pages. Every value is a bound parameter."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, and_, exists, or_, select

from serve_apps.conversation.rows import clean, folded, summary_of
from serve_apps.conversation.tables import conversations, messages, tags
from serve_apps.wire_conversations import ConversationSummary, ListRequest

MOST_LISTED = 500
"""Longest page of the list."""
MOST_WORDS = 16
"""Words of a search that are looked for."""
EXCERPT_CHARACTERS = 160
_RUNNING = exists().where(
    (messages.c.conversation_id == conversations.c.id) & (messages.c.status == "writing")
)
SUMMARY = (*conversations.c, _RUNNING.label("running"))
"""What `rows.summary_of` needs."""


def listed(connection: Connection, request: ListRequest) -> list[ConversationSummary]:
    """The page of the list that is asked for."""
    words = folded(clean(request.search)).split()[:MOST_WORDS]
    newest = (conversations.c.pinned.desc(), conversations.c.updated_s.desc(), conversations.c.id.desc())
    query = select(*SUMMARY).where(_wanted(request, words)).order_by(*newest)
    query = query.limit(max(0, min(request.limit, MOST_LISTED))).offset(max(0, request.offset))
    rows = connection.execute(query).mappings().all()
    ids = [row["id"] for row in rows]
    labels, found = tags_of(connection, ids), _excerpts(connection, ids, words)
    return [summary_of(row, labels.get(row["id"], ()), found.get(row["id"], "")) for row in rows]


def tags_of(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Each conversation's tags, in the order in which they were given; none for those without."""
    of_them = select(tags).where(tags.c.conversation_id.in_(ids)).order_by(tags.c.ordinal)
    found: dict[str, tuple[str, ...]] = {}
    for row in connection.execute(of_them):
        found[row.conversation_id] = (*found.get(row.conversation_id, ()), row.tag)
    return found


def _wanted(request: ListRequest, words: Sequence[str]) -> ColumnElement[bool]:
    wanted: list[ColumnElement[bool]] = [conversations.c.user == request.user]
    if request.folder is not None:
        wanted.append(conversations.c.folder == request.folder)
    if request.tag is not None:
        tagged = (tags.c.conversation_id == conversations.c.id) & (tags.c.tag == request.tag)
        wanted.append(exists().where(tagged))
    if words:
        in_message = exists().where(messages.c.conversation_id == conversations.c.id, _holds(words))
        wanted.append(or_(_all_in(conversations.c.folded_title, words), in_message))
    return and_(*wanted)


def _holds(words: Sequence[str]) -> ColumnElement[bool]:
    return _all_in(messages.c.folded, words)


def _all_in(column: ColumnElement[str], words: Sequence[str]) -> ColumnElement[bool]:
    return and_(*(column.contains(word, autoescape=True) for word in words))


def _excerpts(connection: Connection, ids: Sequence[str], words: Sequence[str]) -> dict[str, str]:
    """Where the newest message that holds the words holds the first of them."""
    if not words or not ids:
        return {}
    of_them = messages.c.conversation_id.in_(ids) & _holds(words)
    query = select(messages.c.conversation_id, messages.c.text).where(of_them).order_by(messages.c.ordinal)
    return {row.conversation_id: excerpt(row.text, words) for row in connection.execute(query)}


def excerpt(text: str, words: Sequence[str]) -> str:
    """A line of the text around the first word of the search.

    Args:
        text: as it was written.
        words: folded.
    """
    line = " ".join(text.split())
    at = max(0, folded(line).find(words[0]))
    start = max(0, at - EXCERPT_CHARACTERS // 3)
    start = line.find(" ", start, at) + 1 or start if start else 0
    end = start + EXCERPT_CHARACTERS
    return ("…" if start else "") + line[start:end].rstrip() + ("…" if end < len(line) else "")
