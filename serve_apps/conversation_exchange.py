"""Whole conversations out of the database and into it, for exports and imports. Blocking."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, insert, select
from sqlalchemy.exc import IntegrityError

from serve_apps.conversation_file import FORMAT, Readable, WholeConversation
from serve_apps.conversation_rows import Row, answer_values, clean, folded, message_of, message_row
from serve_apps.conversation_search import tags_of
from serve_apps.conversation_store import label, labels, put_tags
from serve_apps.conversation_tables import ID_LENGTH, conversations, messages
from serve_apps.conversation_tree import Tree
from serve_apps.database import reading, writing
from serve_apps.errors import NotFound
from serve_apps.wire_conversations import Imported, StoredMessage


class Exchange:
    """Reads and inserts conversations with all their branches.

    Args:
        database: as `serve_apps.database.opened` makes it.
    """

    def __init__(self, database: Engine) -> None:
        self._database = database

    def read(self, user: str, conversation_ids: Sequence[str]) -> list[WholeConversation]:
        """These conversations in this order; all of the user's, newest first, when none is named.

        Raises:
            NotFound: one does not exist or is another user's.
        """
        with reading(self._database) as connection:
            own = select(conversations).where(conversations.c.user == user)
            own = own.order_by(conversations.c.updated_s.desc(), conversations.c.id.desc())
            if conversation_ids:
                own = own.where(conversations.c.id.in_(conversation_ids))
            rows = {row["id"]: row for row in connection.execute(own).mappings()}
            if not set(conversation_ids) <= set(rows):
                raise NotFound("There is no such conversation.", "It may have been deleted.")
            return [_whole(connection, rows[key]) for key in dict.fromkeys(conversation_ids) or rows]

    def add(self, user: str, found: Readable) -> Imported:
        """Insert what is not there yet; each conversation in a transaction of its own."""
        n_messages = n_conversations = 0
        for conversation in found.conversations:
            if conversation.messages and self._added(user, found.source, conversation):
                n_conversations += 1
                n_messages += len(conversation.messages)
        return Imported(
            n_conversations=n_conversations,
            n_messages=n_messages,
            n_skipped=len(found.conversations) - n_conversations,
            problems=tuple(found.problems),
        )

    def _added(self, user: str, source: str, conversation: WholeConversation) -> bool:
        """Insert it; False when it is there, also since a moment ago, by another import."""
        try:
            with writing(self._database) as connection:
                if _is_there(connection, user, source, conversation):
                    return False
                _insert(connection, user, source, conversation)
        except IntegrityError:
            return False
        return True

    def judged(self, user: str) -> list[tuple[str, StoredMessage, StoredMessage | None]]:
        """Every answer with a thumb or a comment: conversation id, answer, question; oldest first."""
        with reading(self._database) as connection:
            own = select(messages).join(conversations, conversations.c.id == messages.c.conversation_id)
            judged = messages.c.thumb.is_not(None) | (messages.c.comment != "")
            query = own.where((conversations.c.user == user) & judged).order_by(messages.c.created_s)
            answers = connection.execute(query).mappings().all()
            parents = [row["parent_id"] for row in answers if row["parent_id"]]
            asked = connection.execute(select(messages).where(messages.c.id.in_(parents))).mappings()
            questions = {row["id"]: message_of(row) for row in asked}
        return [(row["conversation_id"], message_of(row), questions.get(row["parent_id"])) for row in answers]


def _whole(connection: Connection, row: Row) -> WholeConversation:
    of_it = select(messages).where(messages.c.conversation_id == row["id"])
    tree = Tree(connection.execute(of_it).mappings().all())
    return WholeConversation(
        id=row["id"],
        title=row["title"],
        created_s=row["created_s"],
        updated_s=row["updated_s"],
        folder=row["folder"],
        tags=tags_of(connection, [row["id"]]).get(row["id"], ()),
        pinned=row["pinned"],
        shown=row["shown"],
        messages=tuple(message_of(message, tree.siblings(message["id"])) for message in tree.rows()),
        settings={message["id"]: message["settings"] for message in tree.rows() if message["settings"]},
    )


def derived_id(user: str, source: str, *names: str) -> str:
    """The id that an imported thing gets: the same for the same user and source, again and again."""
    told = "\0".join((user, source, *names))
    return hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()[:ID_LENGTH]


def _is_there(connection: Connection, user: str, source: str, conversation: WholeConversation) -> bool:
    same = conversations.c.id == derived_id(user, source, conversation.id)
    if source == FORMAT:  # an export that comes back to where it was made
        same |= conversations.c.id == conversation.id
    own = (conversations.c.user == user) & same
    return connection.scalar(select(conversations.c.id).where(own)) is not None


def _insert(connection: Connection, user: str, source: str, conversation: WholeConversation) -> None:
    new_id = derived_id(user, source, conversation.id)
    ids = {m.id: derived_id(user, source, conversation.id, m.id) for m in conversation.messages}
    rows = [
        _row(message, n, new_id, ids, conversation.settings.get(message.id, {}))
        for n, message in enumerate(conversation.messages)
    ]
    tree = Tree(rows)
    shown = ids.get(conversation.shown or "") or tree.newest_end(rows[0]["id"])
    connection.execute(insert(conversations).values(_conversation_row(new_id, user, conversation, shown)))
    connection.execute(insert(messages), rows)
    put_tags(connection, new_id, labels(conversation.tags))


def _conversation_row(new_id: str, user: str, conversation: WholeConversation, shown: str) -> dict[str, Any]:
    title = label(conversation.title) or "Imported conversation"
    return {
        "id": new_id,
        "user": user,
        "title": title,
        "folded_title": folded(title),
        "created_s": conversation.created_s,
        "updated_s": conversation.updated_s,
        "folder": label(conversation.folder),
        "pinned": conversation.pinned,
        "shown": shown,
    }


def _row(
    message: StoredMessage, ordinal: int, new_id: str, ids: dict[str, str], settings: dict[str, Any]
) -> dict[str, Any]:
    values = answer_values(message)
    del values["folded"]
    return message_row(
        ids[message.id],
        new_id,
        parent_id=ids.get(message.parent_id or ""),
        ordinal=ordinal,
        role=message.role,
        created_s=message.created_s,
        thumb=message.thumb,
        comment=clean(message.comment),
        settings=settings,
        **values,
    )
