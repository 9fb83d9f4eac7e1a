"""One connection over a socket in memory: what happens when a handler, the network or a neighbour breaks."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest
from starlette.websockets import WebSocket

from serve_apps.args import RealtimeArgs
from serve_apps.realtime import client_events as said
from serve_apps.realtime.client_events import ClientEvent
from serve_apps.realtime.config import Session as Settings
from serve_apps.realtime.connection import PIECE_BYTES, Connection
from serve_apps.realtime.outbox import Outbox
from serve_apps.realtime.session import Session
from serve_apps.realtime.sessions import Live
from tests.live_door import silence

APPEND = {"type": "input_audio_buffer.append", "audio": silence(2.5)}
COMMIT = {"type": "input_audio_buffer.commit"}


class Heard:
    """A session that notes what it is told, and breaks at a commit."""

    id = "sess_1"
    settings = Settings()

    def __init__(self) -> None:
        self.events: list[ClientEvent] = []
        self.something = asyncio.Event()

    def handle(self, event: ClientEvent) -> None:
        self.events.append(event)
        self.something.set()
        if isinstance(event, said.CommitAudio):
            raise KeyError(event)


class Wire:
    """Both ends of a WebSocket; `blocked` while the client takes nothing."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.closed: int | None = None
        self.lost = False
        self.free = asyncio.Event()
        self.free.set()
        self._coming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def says(self, event: dict[str, Any]) -> None:
        self._coming.put_nowait({"type": "websocket.receive", "text": json.dumps(event)})

    def leaves(self, code: int) -> None:
        self._coming.put_nowait({"type": "websocket.disconnect", "code": code})

    async def receive(self) -> dict[str, Any]:
        return await self._coming.get()

    async def send(self, message: dict[str, Any]) -> None:
        await self.free.wait()
        if self.lost:
            raise OSError
        if message["type"] == "websocket.send":
            self.sent.append(json.loads(message["text"]))
        elif message["type"] == "websocket.close":
            self.closed = message["code"]


class Call:
    """A connection between a `Heard` and a `Wire`."""

    def __init__(self, **args: Any) -> None:
        self.wire, self.session, self.outbox = Wire(), Heard(), Outbox()
        self._args = RealtimeArgs(**args)
        self.connection: Connection | None = None

    async def begin(self) -> asyncio.Task[Any]:
        """Accept the socket, and serve it."""
        socket = WebSocket({"type": "websocket"}, self._receive, cast("Any", self.wire.send))
        self.wire._coming.put_nowait({"type": "websocket.connect"})
        await socket.accept()
        live = Live(cast("Session", self.session), self.outbox)
        self.connection = Connection(socket, live, self._args)
        return asyncio.create_task(self.connection.run())

    async def _receive(self) -> Any:
        return await self.wire.receive()


async def test_a_bug_is_one_events_failure_and_the_conversation_goes_on() -> None:
    call = Call()
    serving = await call.begin()
    call.wire.says({**COMMIT, "event_id": "mine"})
    call.wire.says({"type": "response.cancel"})
    call.wire.leaves(1000)
    ending = await serving
    assert ending.session_ends
    assert isinstance(call.session.events[-1], said.CancelResponse)
    error = json.loads(await call.outbox.take() or "") if not call.wire.sent else call.wire.sent[0]
    assert (error["error"]["event_id"], error["error"]["code"]) == ("mine", "stage_failed")


async def test_long_sound_is_heard_in_pieces_with_others_in_between() -> None:
    call = Call()
    serving = await call.begin()
    call.wire.says(APPEND)
    await call.session.something.wait()
    assert len(call.session.events) == 1  # others had their turn after the first piece
    call.wire.leaves(1001)
    assert not (await serving).session_ends
    sizes = [len(e.data) for e in call.session.events if isinstance(e, said.AppendAudio)]
    assert sizes == [PIECE_BYTES, PIECE_BYTES, PIECE_BYTES // 2 + PIECE_BYTES % 2]


async def test_a_client_that_takes_nothing_is_given_up_and_may_come_back() -> None:
    call = Call(send_timeout_s=0.05)
    serving = await call.begin()
    call.wire.free.clear()
    call.outbox.emit({"type": "never.taken"})
    ending = await serving
    assert (ending.code, ending.session_ends) == (4408, False)
    assert call.wire.closed is None  # not even that was taken


@pytest.mark.parametrize(("code", "ends"), [(1000, True), (1001, False), (1005, False), (1006, False)])
async def test_a_socket_that_breaks_while_it_is_written_to_ended_as_the_client_ended_it(
    code: int, ends: bool
) -> None:
    call = Call()
    serving = await call.begin()
    call.wire.lost = True
    call.outbox.emit({"type": "never.arrives"})
    await asyncio.sleep(0)
    call.wire.leaves(code)
    ending = await serving
    assert (ending.code, ending.session_ends) == (code, ends)


async def test_a_connection_that_is_replaced_takes_nothing_more() -> None:
    call = Call()
    serving = await call.begin()
    await asyncio.sleep(0)
    assert call.connection is not None
    call.connection.replace()
    call.outbox.emit({"type": "for.the.next"})
    assert (await serving).code == 4409
    assert not call.wire.sent
    assert json.loads(await call.outbox.take() or "")["type"] == "for.the.next"
