"""Whole conversations out of the database and into it, for exports and imports. Blocking."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, insert, select
from sqlalchemy.exc import IntegrityError

from serve_apps.conversation.file import FORMAT, Readable, WholeConversation
from serve_apps.conversation.rows import Row, answer_values, clean, folded, message_of, message_row
from serve_apps.conversation.search import tags_of
from serve_apps.conversation.store import label, labels, put_tags
from serve_apps.conversation.tables import ID_LENGTH, conversations, messages
from serve_apps.conversation.tree import Tree
from serve_apps.database import reading, writing
from serve_apps.errors import NotFound
from serve_apps.wire_conversations import Imported, StoredMessage

N_TOGETHER = 50
"""Conversations that an import inserts in one transaction."""


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
        """Insert what is not there yet; some at a time, so that other writers get their turn."""
        added: list[WholeConversation] = []
        usable = [conversation for conversation in found.conversations if conversation.messages]
        for start in range(0, len(usable), N_TOGETHER):
            added += self._added(user, found.source, usable[start : start + N_TOGETHER])
        return Imported(
            n_conversations=len(added),
            n_messages=sum(len(conversation.messages) for conversation in added),
            n_skipped=len(found.conversations) - len(added),
            problems=tuple(found.problems),
        )

    def _added(
        self, user: str, source: str, conversations: Sequence[WholeConversation]
    ) -> list[WholeConversation]:
        """Insert those that are not there, in one transaction; which ones."""
        try:
            return self._added_at_once(user, source, conversations)
        except IntegrityError:  # another import was quicker: what it did is seen now
            return self._added_at_once(user, source, conversations)

    def _added_at_once(
        self, user: str, source: str, conversations: Sequence[WholeConversation]
    ) -> list[WholeConversation]:
        with writing(self._database) as connection:
            there = _there(connection, user, source, conversations)
            added = {
                derived_id(user, source, whole.id): whole for whole in conversations if whole.id not in there
            }
            for new_id, whole in added.items():
                _insert(connection, user, source, new_id, whole)
        return list(added.values())

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


def _there(connection: Connection, user: str, source: str, found: Sequence[WholeConversation]) -> set[str]:
    """The ids, as their file has them, of those that the user has already."""
    ids = {derived_id(user, source, whole.id): whole.id for whole in found}
    if source == FORMAT:  # an export that comes back to where it was made
        ids |= {whole.id: whole.id for whole in found}
    own = (conversations.c.user == user) & conversations.c.id.in_(ids)
    return {ids[known] for known in connection.scalars(select(conversations.c.id).where(own))}


def _insert(connection: Connection, user: str, source: str, new_id: str, whole: WholeConversation) -> None:
    ids = {message.id: derived_id(user, source, whole.id, message.id) for message in whole.messages}
    rows = [
        _row(message, n, new_id, ids, whole.settings.get(message.id, {}))
        for n, message in enumerate(whole.messages)
    ]
    shown = ids.get(whole.shown or "") or Tree(rows).newest_end(rows[0]["id"])
    connection.execute(insert(conversations).values(_conversation_row(new_id, user, whole, shown)))
    connection.execute(insert(messages), rows)
    if whole.tags:
        put_tags(connection, new_id, labels(whole.tags))


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
