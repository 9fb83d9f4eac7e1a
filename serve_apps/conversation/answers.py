"""Answers being written, in the database: begun with their question, saved while they grow, ended.

Blocking; one object a process, whose answers are told from other processes' by `writer`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, select, update

from serve_apps.conversation.asking import BRANCH, Begun, new_conversation, own, placed
from serve_apps.conversation.rows import (
    Row,
    answer_values,
    new_id,
)
from serve_apps.conversation.tables import conversations, messages
from serve_apps.conversation.tree import Tree
from serve_apps.conversation.writers import ALIVE_EVERY_S, dead_of, interrupt, now_of, say_alive
from serve_apps.database import reading, writing
from serve_apps.errors import InputError
from serve_apps.wire_conversations import AskRequest, StoredMessage

_TOLD = (messages.c.id, messages.c.status, messages.c.stop_wanted, messages.c.watched_s)
_GROWING = ("text", "folded", "notes", "sources")
"""What is saved while an answer is written."""


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
        self._active: dict[str, None] = {}
        """Answers of this process that have an end to come; others that say so were left behind."""
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
        made: Begun | None = None
        try:
            with self._writing() as connection:
                made = self._begun(connection, request)
                self._active[made.answer.id] = None
                begun(made)
        except BaseException:
            if made is not None:
                self.forget(made.answer.id)
            raise
        return made

    def forget(self, answer_id: str) -> None:
        """An answer that no end is to come of from here."""
        self._active.pop(answer_id, None)

    def save(self, grown: Sequence[StoredMessage], ids: Iterable[str]) -> dict[str, Told]:
        """Store what has grown, say that this process lives, and hear of `ids`; deleted ones are missing."""
        quiet = not grown and time.monotonic() < self._alive_until
        with reading(self._database) if quiet else self._writing() as connection:
            now_s = now_of(connection)
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
        self.forget(answer.id)
        return bool(n_changed)

    def end_dead(self) -> int:
        """Mark as interrupted what dead processes were writing; how many answers those were."""
        live = select(messages.c.id, messages.c.writer).where(messages.c.status == "writing")
        with reading(self._database) as connection:
            dead = self._dead(connection, connection.execute(live).mappings().all())
        if not dead:
            return 0
        with writing(self._database) as connection:  # a writer may have been heard of since
            dead = self._dead(connection, connection.execute(live).mappings().all())
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

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction that says, if it is time, that this process lives."""
        due = time.monotonic() >= self._alive_until
        with writing(self._database) as connection:
            if due:
                say_alive(connection, self.writer)
            yield connection
        if due:
            self._alive_until = time.monotonic() + ALIVE_EVERY_S

    def _begun(self, connection: Connection, request: AskRequest) -> Begun:
        if request.conversation_id is None:
            conversation, tree = new_conversation(connection, request), Tree([])
        else:
            conversation = own(connection, request.user, request.conversation_id)
            tree = self._tree(connection, conversation["id"])
        return placed(connection, request, conversation, tree, self.writer)

    def _tree(self, connection: Connection, conversation_id: str) -> Tree:
        of_it = messages.c.conversation_id == conversation_id
        rows = connection.execute(select(*BRANCH).where(of_it)).mappings().all()
        live = [row for row in rows if row["status"] == "writing"]
        if live:
            dead = self._dead(connection, live)
            if len(dead) < len(live):
                raise InputError("An answer is being written.", "Wait for its end, or stop it first.")
            interrupt(connection, dead)
        return Tree(rows)

    def _dead(self, connection: Connection, live: Sequence[Row]) -> list[str]:
        """Which of the answers that are said to be written nobody writes."""
        if all(row["id"] in self._active for row in live):
            return []
        dead = dead_of(connection, {str(row["writer"]) for row in live} - {self.writer})
        left = {row["id"] for row in live if row["writer"] == self.writer} - set(self._active)
        return [row["id"] for row in live if row["writer"] in dead or row["id"] in left]


def _saved(answer: StoredMessage) -> dict[str, Any]:
    values = answer_values(answer)
    return {"key": answer.id, **{name: values[name] for name in _GROWING}}
