"""A question finds its place in a conversation, and its answer one after it. SQL; blocking."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from serve_apps.conversation.rows import (
    Row,
    clean,
    folded,
    message_of,
    message_row,
    new_id,
    settings_of,
    summary_of,
    title_of,
)
from serve_apps.conversation.search import tags_of
from serve_apps.conversation.tables import conversations, messages
from serve_apps.conversation.tree import Tree
from serve_apps.errors import NotFound
from serve_apps.wire import Message
from serve_apps.wire_conversations import AskRequest, ConversationSummary, StoredMessage

BRANCH = (
    messages.c.id,
    messages.c.parent_id,
    messages.c.ordinal,
    messages.c.role,
    messages.c.text,
    messages.c.status,
    messages.c.writer,
)
"""What placing a question needs of a conversation's messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A question and its answer's place, stored."""

    conversation: ConversationSummary
    question: StoredMessage
    answer: StoredMessage
    messages: tuple[Message, ...]
    """What the model reads: the branch that ends with the question."""


def placed(connection: Connection, request: AskRequest, conversation: Row, tree: Tree, writer: str) -> Begun:
    """Insert a question, if it is new, and its answer, and show their branch.

    Raises:
        NotFound: the message that it is to follow, or the question to answer again, is not there.
    """
    question, answer = _insert(connection, request, conversation, tree, writer)
    key = conversation["id"]
    shown = {"shown": answer["id"], "updated_s": answer["created_s"]}
    connection.execute(update(conversations).where(conversations.c.id == key).values(shown))
    labels = tags_of(connection, [key]).get(key, ()) if request.conversation_id else ()
    return Begun(
        conversation=summary_of({**conversation, **shown, "running": True}, labels),
        question=message_of(question, tree.siblings(question["id"])),
        answer=message_of(answer, tree.siblings(answer["id"])),
        messages=read_by_model(tree.branch(question["id"])),
    )


def own(connection: Connection, user: str, conversation_id: str) -> Row:
    """The user's conversation, kept from other writers until the transaction ends."""
    own = (conversations.c.id == conversation_id) & (conversations.c.user == user)
    row = connection.execute(select(conversations).where(own).with_for_update()).mappings().first()
    if row is None:
        raise NotFound("There is no such conversation.", "It may have been deleted.")
    return row


def new_conversation(connection: Connection, request: AskRequest) -> Row:
    """An empty conversation that is named after the question."""
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


def _insert(
    connection: Connection, request: AskRequest, conversation: Row, tree: Tree, writer: str
) -> tuple[Row, Row]:
    """The question, which may be there already, and its answer."""
    rows = []
    if request.answer_again is None:
        question = _new_question(request, conversation, tree)
        tree.add(question)
        rows.append(question)
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
    tree.add(answer)
    connection.execute(insert(messages), [*rows, answer])
    return question, answer


def _new_question(request: AskRequest, conversation: Row, tree: Tree) -> dict[str, Any]:
    parent = None if request.from_start else request.parent_id or conversation["shown"]
    if parent is not None and parent not in tree:
        raise NotFound("There is no such message in this conversation.", "Open it again.")
    return message_row(
        new_id(),
        conversation["id"],
        parent_id=parent,
        ordinal=tree.next_ordinal,
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
