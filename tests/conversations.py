"""Conversations on a real database over a chat that is a fake: for tests of doors, pages, the conductor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.engine import URL

from serve_apps.args import ConversationsArgs
from serve_apps.contracts_knowledge import Conversations
from serve_apps.conversations import ConversationsConductor
from serve_apps.database import opened
from serve_apps.wire import TextDelta
from serve_apps.wire_conversations import (
    Asked,
    AskRequest,
    ConversationEvent,
    StoredMessage,
)
from tests.fake_clients import FakeChat

USER = "owner"


def sqlite_url(folder: Path) -> URL:
    """A database in a folder."""
    return URL.create("sqlite", database=str(folder / "raydio.db"))


def made_conversations(
    tmp_path: Path, chat: Any = None, *, database: Engine | None = None, **args: Any
) -> ConversationsConductor:
    """The real conductor on SQLite in `tmp_path` (or on `database`), over a `FakeChat`.

    `args` are those of `ConversationsArgs`; answers are saved every 20 ms unless they say otherwise.
    """
    limits = ConversationsArgs(**{"save_every_s": 0.02, **args})
    return ConversationsConductor(chat or FakeChat(), limits, database or opened(sqlite_url(tmp_path)))


async def asked(
    conversations: Conversations, text: str, *, user: str = USER, **more: Any
) -> list[ConversationEvent]:
    """Ask, and read to the end."""
    return [event async for event in conversations.ask(AskRequest(user=user, text=text, **more))]


async def begun(
    conversations: Conversations, text: str, *, user: str = USER, **more: Any
) -> tuple[Asked, AsyncIterator[ConversationEvent]]:
    """Ask, and read until the question is stored; the rest of the events is the second."""
    events = conversations.ask(AskRequest(user=user, text=text, **more))
    first = await anext(events)
    assert isinstance(first, Asked)
    return first, events


def text_of(events: list[ConversationEvent]) -> str:
    """What the deltas say."""
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def branch(
    conversations: Conversations, conversation_id: str, *, user: str = USER
) -> list[StoredMessage]:
    """The messages that are shown."""
    return list((await conversations.open(user, conversation_id)).messages)


__all__ = ["USER", "aclosing", "asked", "begun", "branch", "made_conversations", "sqlite_url", "text_of"]
