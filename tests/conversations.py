"""Conversations on a real database over a chat that is a fake: for tests of doors, pages, the conductor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.engine import URL

from serve_apps.args import ConversationsArgs
from serve_apps.contracts_conversations import Conversations
from serve_apps.conversations import ConversationsConductor
from serve_apps.database import opened
from serve_apps.wire import TextDelta, TurnDone, TurnEvent, TurnFailed, TurnRequest
from serve_apps.wire_conversations import (
    Asked,
    AskRequest,
    ConversationEvent,
    StoredMessage,
)
from tests.fake_clients import FakeChat, turn_done

USER = "owner"


class HandChat:
    """Says what the test hands it, event by event: `say("words")`, `end()`, `fail(error)`."""

    def __init__(self) -> None:
        self.requests: list[TurnRequest] = []
        self.n_closed = 0
        self._events: asyncio.Queue[TurnEvent | Exception] = asyncio.Queue()

    def say(self, text: str) -> None:
        self._events.put_nowait(TextDelta(text=text))

    def put(self, event: TurnEvent | Exception) -> None:
        self._events.put_nowait(event)

    def end(self) -> None:
        self._events.put_nowait(turn_done(3, notes=("A note.",)))

    async def stream_turn(self, request: TurnRequest) -> AsyncGenerator[TurnEvent, None]:
        self.requests.append(request)
        try:
            while True:
                event = await self._events.get()
                if isinstance(event, Exception):
                    raise event
                yield event
                if isinstance(event, TurnDone | TurnFailed):
                    return
        except (asyncio.CancelledError, GeneratorExit):
            self.n_closed += 1
            raise


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
) -> tuple[Asked, AsyncGenerator[ConversationEvent, None]]:
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


async def until(condition: Callable[[], Awaitable[bool]], timeout_s: float = 5.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(timeout_s):
        while not await condition():  # noqa: ASYNC110 -- it may be another process that makes it so
            await asyncio.sleep(0.005)
