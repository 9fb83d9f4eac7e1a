"""What a session tells its client: numbered, waiting to be sent, and kept in case the socket is lost."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from typing import Any

import orjson

from serve_apps.errors import UnknownName

ROOM_BYTES = 2**20
"""What may wait before whoever can wait does."""
MAX_WAITING_BYTES = 32 * 2**20
"""What may wait at all; what cannot wait (a client asks for item after item and reads none) comes on top."""
KEPT_BYTES = 4 * 2**20
"""Sent events that a resumed client may ask for again: a minute of speech."""
_EVENT_ID = re.compile(r"event_(\d{1,15})")


class Outbox:
    """A session's way out. One socket at a time takes from it, and none while the client is away."""

    def __init__(self) -> None:
        self._n_events = 0
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._n_waiting_bytes = 0
        self._sent: deque[tuple[int, bytes]] = deque()
        self._n_sent_bytes = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.overflowed = False
        """More waited than can be held: events are lost, and the session is of no use."""

    def emit(self, event: dict[str, Any]) -> None:
        """Tell the client; the event gets its `event_id` here."""
        if self.overflowed:
            return
        self._n_events += 1
        message = orjson.dumps({"event_id": f"event_{self._n_events}", **event})
        self._waiting.append((self._n_events, message))
        self._n_waiting_bytes += len(message)
        if self._n_waiting_bytes > MAX_WAITING_BYTES:
            self.overflowed = True
            self._waiting.clear()
        self._notice()

    async def room(self) -> None:
        """Wait until little waits to be sent, whether a socket is there to take it or not."""
        await self._room.wait()

    async def take(self) -> str | None:
        """The next event to be sent, when there is one; None when events were lost."""
        await self._news.wait()
        if self.overflowed:
            return None
        number, message = self._waiting.popleft()
        self._n_waiting_bytes -= len(message)
        self._sent.append((number, message))
        self._n_sent_bytes += len(message)
        while self._n_sent_bytes > KEPT_BYTES:
            self._n_sent_bytes -= len(self._sent.popleft()[1])
        self._notice()
        return message.decode()

    def rewind(self, after: str) -> None:
        """Send everything after an event once more, to a client that came back.

        Raises:
            UnknownName: there was no such event, or what followed it is not kept any more.
        """
        found = _EVENT_ID.fullmatch(after)
        number = int(found[1]) if found else -1
        oldest = (self._sent or self._waiting or [(self._n_events + 1, b"")])[0][0]
        if not oldest - 1 <= number <= self._n_events:
            raise UnknownName(f"What came after event {after[:40]!r} is not kept.", "Start a new session.")
        while self._sent and self._sent[-1][0] > number:
            self._waiting.appendleft(self._sent.pop())
            n_bytes = len(self._waiting[0][1])
            self._n_sent_bytes -= n_bytes
            self._n_waiting_bytes += n_bytes
        while self._waiting and self._waiting[0][0] <= number:
            self._n_waiting_bytes -= len(self._waiting.popleft()[1])
        self._notice()

    def _notice(self) -> None:
        _set(self._news, bool(self._waiting) or self.overflowed)
        _set(self._room, self._n_waiting_bytes < ROOM_BYTES or self.overflowed)


def _set(event: asyncio.Event, is_so: bool) -> None:
    if is_so:
        event.set()
    else:
        event.clear()
