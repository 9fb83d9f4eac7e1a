"""What people do with stored conversations, in the database: list, open, change, delete, judge.

Blocking. Every call names its user; what is another user's does not exist for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Engine, delete, insert, select, update

from serve_apps.conversation.rows import Row, clean, folded, message_of, summary_of
from serve_apps.conversation.search import SUMMARY, listed, tags_of
from serve_apps.conversation.tables import conversations, messages, tags
from serve_apps.conversation.tree import Tree
from serve_apps.database import reading, writing
from serve_apps.errors import EmptyInput, InputError, NotFound
from serve_apps.wire_conversations import (
    Conversation,
    ConversationChange,
    ConversationSummary,
    ListRequest,
    StoredMessage,
    Thumb,
)

MOST_LABEL_CHARACTERS = 200
"""Of a title, a folder or a tag."""
MOST_TAGS = 50
CHECKPOINT_WAIT_MS = 1000
"""How long a deletion waits for readers before it leaves the log's overwriting to a later one."""


class ConversationStore:
    """Conversations of all users.

    Args:
        database: as `serve_apps.database.opened` makes it.
    """

    def __init__(self, database: Engine) -> None:
        self._database = database

    def summaries(self, request: ListRequest) -> list[ConversationSummary]:
        """See `Conversations.summaries`."""
        with reading(self._database) as connection:
            return listed(connection, request)

    def folders(self, user: str) -> tuple[list[str], list[str]]:
        """See `Conversations.folders`."""
        own = conversations.c.user == user
        named = select(conversations.c.folder).where(own & (conversations.c.folder != "")).distinct()
        tagged = select(tags.c.tag).join(conversations).where(own).distinct()
        with reading(self._database) as connection:
            found = [sorted(connection.scalars(query), key=str.casefold) for query in (named, tagged)]
        return found[0], found[1]

    def open(self, user: str, conversation_id: str) -> Conversation:
        """See `Conversations.open`."""
        with reading(self._database) as connection:
            return opened(connection, user, conversation_id)

    def change(self, user: str, conversation_id: str, change: ConversationChange) -> Conversation:
        """See `Conversations.change`."""
        with writing(self._database) as connection:
            summary_row(connection, user, conversation_id)
            values = _changed(connection, conversation_id, change)
            if values:
                this = update(conversations).where(conversations.c.id == conversation_id)
                connection.execute(this.values(values))
            if change.tags is not None:
                put_tags(connection, conversation_id, labels(change.tags))
            return opened(connection, user, conversation_id)

    def delete(self, user: str, conversation_ids: Sequence[str]) -> int:
        """See `Conversations.delete`; SQLite's log of changes is emptied, too."""
        own = conversations.c.id.in_(conversation_ids) & (conversations.c.user == user)
        with writing(self._database) as connection:
            n_deleted = connection.execute(delete(conversations).where(own)).rowcount
        if n_deleted and self._database.dialect.name == "sqlite":
            self._empty_log()
        return n_deleted

    def feedback(self, user: str, message_id: str, thumb: Thumb | None, comment: str) -> StoredMessage:
        """See `Conversations.feedback`."""
        with writing(self._database) as connection:
            found = select(messages.c.conversation_id, messages.c.role).join(
                conversations, conversations.c.id == messages.c.conversation_id
            )
            this = (messages.c.id == message_id) & (conversations.c.user == user)
            row = connection.execute(found.where(this)).first()
            if row is None or row.role != "assistant":
                raise NotFound("There is no such answer.", "It may have been deleted.")
            values = {"thumb": thumb, "comment": clean(comment)}
            connection.execute(update(messages).where(messages.c.id == message_id).values(values))
            tree = Tree(_rows(connection, row.conversation_id))
            return message_of(tree.row(message_id), tree.siblings(message_id))

    def answer(self, user: str, conversation_id: str) -> tuple[ConversationSummary, StoredMessage] | None:
        """The answer that is being written there, in whatever process; None when nothing is."""
        with reading(self._database) as connection:
            found = summary_row(connection, user, conversation_id)
            if not found["running"]:
                return None
            tree = Tree(_rows(connection, conversation_id))
            labels = tags_of(connection, [conversation_id]).get(conversation_id, ())
        row = next(row for row in tree.rows() if row["status"] == "writing")
        return summary_of(found, labels), message_of(row, tree.siblings(row["id"]))

    def message(self, message_id: str) -> StoredMessage | None:
        """A message by itself; None when it was deleted."""
        with reading(self._database) as connection:
            this = select(messages).where(messages.c.id == message_id)
            row = connection.execute(this).mappings().first()
        return None if row is None else message_of(row)

    def _empty_log(self) -> None:
        with self._database.connect() as connection:
            raw = connection.connection.cursor()
            previous = raw.execute("PRAGMA busy_timeout").fetchone()[0]
            raw.execute(f"PRAGMA busy_timeout={CHECKPOINT_WAIT_MS}")
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            raw.execute(f"PRAGMA busy_timeout={previous}")
            raw.close()


def summary_row(connection: Connection, user: str, conversation_id: str) -> Row:
    """The user's conversation.

    Raises:
        NotFound: there is none, or it is another user's.
    """
    own = (conversations.c.id == conversation_id) & (conversations.c.user == user)
    row = connection.execute(select(*SUMMARY).where(own)).mappings().first()
    if row is None:
        raise NotFound("There is no such conversation.", "It may have been deleted.")
    return row


def opened(connection: Connection, user: str, conversation_id: str) -> Conversation:
    """The branch that is shown."""
    found = summary_row(connection, user, conversation_id)
    labels = tags_of(connection, [conversation_id]).get(conversation_id, ())
    tree = Tree(_rows(connection, conversation_id))
    branch = tree.branch(found["shown"])
    return Conversation(
        summary=summary_of(found, labels),
        messages=tuple(message_of(row, tree.siblings(row["id"])) for row in branch),
    )


def put_tags(connection: Connection, conversation_id: str, labels: Sequence[str]) -> None:
    """These tags in the place of all that were there."""
    connection.execute(delete(tags).where(tags.c.conversation_id == conversation_id))
    rows = [{"conversation_id": conversation_id, "tag": tag, "ordinal": n} for n, tag in enumerate(labels)]
    if rows:
        connection.execute(insert(tags), rows)


def _rows(connection: Connection, conversation_id: str) -> Sequence[Row]:
    of_it = select(messages).where(messages.c.conversation_id == conversation_id)
    return connection.execute(of_it).mappings().all()


def _changed(connection: Connection, conversation_id: str, change: ConversationChange) -> dict[str, object]:
    values: dict[str, object] = {}
    if change.title is not None:
        title = label(change.title)
        if not title:
            raise EmptyInput("A conversation needs a title.", "Write one.")
        values |= {"title": title, "folded_title": folded(title)}
    if change.folder is not None:
        values["folder"] = label(change.folder)
    if change.pinned is not None:
        values["pinned"] = change.pinned
    if change.shown is not None:
        values["shown"] = _end_of_branch(connection, conversation_id, change.shown)
    return values


def _end_of_branch(connection: Connection, conversation_id: str, message_id: str) -> str:
    places = select(messages.c.id, messages.c.parent_id, messages.c.ordinal)
    rows = connection.execute(places.where(messages.c.conversation_id == conversation_id)).mappings().all()
    tree = Tree(rows)
    if message_id not in tree:
        raise NotFound("There is no such message in this conversation.", "Open it again.")
    return tree.newest_end(message_id)


def label(given: str) -> str:
    """A title, folder or tag as it is kept: one line, not too long."""
    return " ".join(clean(given).split())[:MOST_LABEL_CHARACTERS]


def labels(given: Sequence[str]) -> list[str]:
    """Tags as they are kept: without empty ones and repetitions.

    Raises:
        InputError: too many.
    """
    kept = [tag for tag in dict.fromkeys(label(tag) for tag in given) if tag]
    if len(kept) > MOST_TAGS:
        raise InputError(f"A conversation has {MOST_TAGS} tags at most.", "Leave some out.")
    return kept
