"""Answers being written, in the database: begun with their question, saved while they grow, ended.

Blocking; one object a process, whose answers are told from other processes' by `writer`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, insert, select, update

from serve_apps.conversation_rows import (
    Row,
    answer_values,
    clean,
    folded,
    message_of,
    message_row,
    new_id,
    settings_of,
    summary_of,
    title_of,
)
from serve_apps.conversation_search import tags_of
from serve_apps.conversation_tables import conversations, messages
from serve_apps.conversation_tree import Tree
from serve_apps.conversation_writers import ALIVE_EVERY_S, dead_of, interrupt, now_of, say_alive
from serve_apps.database import reading, writing
from serve_apps.errors import InputError, NotFound
from serve_apps.wire import Message
from serve_apps.wire_conversations import AskRequest, ConversationSummary, StoredMessage

_BRANCH = (
    messages.c.id,
    messages.c.parent_id,
    messages.c.ordinal,
    messages.c.role,
    messages.c.text,
    messages.c.status,
    messages.c.writer,
)
_TOLD = (messages.c.id, messages.c.status, messages.c.stop_wanted, messages.c.watched_s)
_GROWING = ("text", "folded", "notes", "sources")
"""What is saved while an answer is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A question and its answer's place, stored."""

    conversation: ConversationSummary
    question: StoredMessage
    answer: StoredMessage
    messages: tuple[Message, ...]
    """What the model reads: the branch that ends with the question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What other processes said of an answer."""

    status: str
    stop_wanted: bool
    unwatched_s: float
    """How long ago another process's watcher last said that it is there."""


class AnswerStore:
    """Stores this process's answers.

    Args:
        database: as `serve_apps.database.opened` makes it.
    """

    def __init__(self, database: Engine) -> None:
        self._database = database
        self.writer = new_id()
        mine = (messages.c.id == bindparam("key")) & (messages.c.writer == self.writer)
        self._alive_until = 0.0
        self._saving = update(messages).where(mine).values({name: bindparam(name) for name in _GROWING})

    def begin(self, request: AskRequest, begun: Callable[[Begun], None]) -> Begun:
        """Store a question and an empty answer, in one transaction.

        Args:
            request: what is asked.
            begun: called when everything is written but not yet on disk: the models may start meanwhile.

        Raises:
            NotFound: no such conversation or message, or another user's.
            InputError: an answer is being written in this conversation.
        """
        with writing(self._database) as connection:
            self._say_alive(connection)
            conversation = _conversation(connection, request)
            tree = self._tree(connection, conversation["id"])
            made = _insert(connection, request, conversation, tree, self.writer)
            begun(made)
        return made

    def save(self, grown: Sequence[StoredMessage], ids: Iterable[str]) -> dict[str, Told]:
        """Store what has grown, say that this process lives, and hear of `ids`; deleted ones are missing."""
        quiet = not grown and time.monotonic() < self._alive_until
        with (reading if quiet else writing)(self._database) as connection:
            now_s = now_of(connection) if quiet else self._say_alive(connection)
            if grown:
                connection.execute(self._saving, [_saved(answer) for answer in grown])
            rows = connection.execute(select(*_TOLD).where(messages.c.id.in_(list(ids)))).all()
        return {
            row.id: Told(status=row.status, stop_wanted=row.stop_wanted, unwatched_s=now_s - row.watched_s)
            for row in rows
        }

    def end(self, answer: StoredMessage, conversation_id: str) -> bool:
        """Store an answer's end; False when it was deleted meanwhile."""
        with writing(self._database) as connection:
            mine = (messages.c.id == answer.id) & (messages.c.writer == self.writer)
            values = {**answer_values(answer), "writer": None}
            n_changed = connection.execute(update(messages).where(mine).values(values)).rowcount
            changed = update(conversations).where(conversations.c.id == conversation_id)
            connection.execute(changed.values(updated_s=time.time()))
        return bool(n_changed)

    def end_dead(self) -> int:
        """Mark as interrupted what dead processes were writing; how many answers those were."""
        with reading(self._database) as connection:
            others = (messages.c.status == "writing") & (messages.c.writer != self.writer)
            named = set(connection.scalars(select(messages.c.writer).where(others).distinct()))
            dead = dead_of(connection, named)
        if not dead:
            return 0
        with writing(self._database) as connection:
            dead = dead_of(connection, named)  # one may have been heard of since
            return interrupt(connection, dead)

    def want_stop(self, user: str, conversation_id: str) -> bool:
        """Ask the process that writes there to stop; False when nothing is being written."""
        with writing(self._database) as connection:
            own(connection, user, conversation_id)
            running = (messages.c.conversation_id == conversation_id) & (messages.c.status == "writing")
            return bool(connection.execute(update(messages).where(running).values(stop_wanted=True)).rowcount)

    def watch(self, answer_id: str) -> None:
        """Tell the process that writes it that somebody watches from here."""
        with writing(self._database) as connection:
            values = {"watched_s": now_of(connection)}
            connection.execute(update(messages).where(messages.c.id == answer_id).values(values))

    def _say_alive(self, connection: Connection) -> float:
        self._alive_until = time.monotonic() + ALIVE_EVERY_S
        return say_alive(connection, self.writer)

    def _tree(self, connection: Connection, conversation_id: str) -> Tree:
        of_it = messages.c.conversation_id == conversation_id
        rows = connection.execute(select(*_BRANCH).where(of_it)).mappings().all()
        live = {str(row["writer"]) for row in rows if row["status"] == "writing"}
        if live:
            dead = dead_of(connection, live - {self.writer})
            if dead != live:
                raise InputError("An answer is being written.", "Wait for its end, or stop it first.")
            interrupt(connection, dead)
        return Tree(rows)


def own(connection: Connection, user: str, conversation_id: str) -> Row:
    """The user's conversation, kept from other writers until the transaction ends."""
    own = (conversations.c.id == conversation_id) & (conversations.c.user == user)
    row = connection.execute(select(conversations).where(own).with_for_update()).mappings().first()
    if row is None:
        raise NotFound("There is no such conversation.", "It may have been deleted.")
    return row


def _conversation(connection: Connection, request: AskRequest) -> Row:
    if request.conversation_id is not None:
        return own(connection, request.user, request.conversation_id)
    title = title_of(clean(request.text))
    now_s = time.time()
    row: dict[str, Any] = {
        "id": new_id(),
        "user": request.user,
        "title": title,
        "folded_title": folded(title),
        "created_s": now_s,
        "updated_s": now_s,
        "folder": "",
        "pinned": False,
        "shown": None,
    }
    connection.execute(insert(conversations).values(row))
    return row


def _insert(connection: Connection, request: AskRequest, conversation: Row, tree: Tree, writer: str) -> Begun:
    ordinal = tree.next_ordinal
    if request.answer_again is None:
        question = _new_question(request, conversation, tree, ordinal)
        connection.execute(insert(messages).values(question))
        tree.add(question)
    else:
        question = dict(_asked_before(connection, request.answer_again, tree))
    answer = message_row(
        new_id(),
        conversation["id"],
        parent_id=question["id"],
        ordinal=tree.next_ordinal,
        role="assistant",
        status="writing",
        writer=writer,
        settings=settings_of(request.turn),
    )
    connection.execute(insert(messages).values(answer))
    tree.add(answer)
    shown = {"shown": answer["id"], "updated_s": answer["created_s"]}
    connection.execute(update(conversations).where(conversations.c.id == conversation["id"]).values(shown))
    labels = tags_of(connection, [conversation["id"]]).get(conversation["id"], ())
    return Begun(
        conversation=summary_of({**conversation, **shown, "running": True}, labels),
        question=message_of(question, tree.siblings(question["id"])),
        answer=message_of(answer, tree.siblings(answer["id"])),
        messages=read_by_model(tree.branch(question["id"])),
    )


def _new_question(request: AskRequest, conversation: Row, tree: Tree, ordinal: int) -> dict[str, Any]:
    parent = None if request.from_start else request.parent_id or conversation["shown"]
    if parent is not None and parent not in tree:
        raise NotFound("There is no such message in this conversation.", "Open it again.")
    return message_row(
        new_id(),
        conversation["id"],
        parent_id=parent,
        ordinal=ordinal,
        role="user",
        status="sent",
        text=request.text,
    )


def _asked_before(connection: Connection, question_id: str, tree: Tree) -> Row:
    if question_id not in tree or tree.row(question_id)["role"] != "user":
        raise NotFound("There is no such question in this conversation.", "Open it again.")
    return connection.execute(select(messages).where(messages.c.id == question_id)).mappings().one()


def read_by_model(branch: Sequence[Row]) -> tuple[Message, ...]:
    """A branch as a turn takes it; answers that failed before their first word are left out."""
    return tuple(
        Message(role=row["role"], content=row["text"])
        for row in branch
        if row["role"] == "user" or row["text"].strip()
    )


def _saved(answer: StoredMessage) -> dict[str, Any]:
    values = answer_values(answer)
    return {"key": answer.id, **{name: values[name] for name in _GROWING}}
