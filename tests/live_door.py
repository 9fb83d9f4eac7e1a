"""The door of live sessions on a real server, and a client that keeps what it is told."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import pytest
from fastapi import FastAPI
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from serve_apps.args import RealtimeArgs
from serve_apps.contracts import Clients
from serve_apps.ingress import behind_door
from serve_apps.realtime.door import Realtime
from serve_apps.settings import settings
from tests.fake_clients import fake_clients
from tests.ui_server import served_app

TOKEN = "a-token-of-24-characters"
WAIT_S = 20
PCM_RATE_HZ = 24_000


class Served:
    """A running door, seen from outside (its address) and from inside (its loop)."""

    def __init__(self, realtime: Realtime, loop: asyncio.AbstractEventLoop) -> None:
        self.realtime = realtime
        self._loop = loop
        self.url = ""

    def ask(self, question: Callable[[], Any]) -> Any:
        """The answer, found in the server's loop."""

        async def answer() -> Any:
            return question()

        return asyncio.run_coroutine_threadsafe(answer(), self._loop).result(WAIT_S)

    @property
    def n_sessions(self) -> int:
        return self.ask(lambda: len(self.realtime.sessions))

    @property
    def n_tasks(self) -> int:
        """Without the one that asks."""
        return self.ask(lambda: len(asyncio.all_tasks()) - 1)

    async def until(self, is_so: Callable[[Served], bool]) -> None:
        """Wait until something holds."""
        async with asyncio.timeout(WAIT_S):
            while not await asyncio.to_thread(is_so, self):  # noqa: ASYNC110 (the other loop tells nobody)
                await asyncio.sleep(0.01)


@contextmanager
def served_door(clients: Clients | None = None, **args: Any) -> Iterator[Served]:
    """A door on a free port, over fake clients unless others are given."""
    found: list[Served] = []

    def build() -> FastAPI:
        realtime = Realtime(clients or fake_clients(), RealtimeArgs(**args))
        found.append(Served(realtime, asyncio.get_running_loop()))
        app = FastAPI()
        app.router.routes.extend(realtime.routes("/v1"))
        return app

    with served_app(build) as address:
        found[0].url = f"{address.replace('http', 'ws')}/v1/realtime"
        yield found[0]


@contextmanager
def guarded_door(clients: Clients | None = None) -> Iterator[str]:
    """The same behind the door that asks for the token, TOKEN; yields `http://…`."""

    def build() -> Any:
        app = FastAPI()
        app.router.routes.extend(Realtime(clients or fake_clients(), RealtimeArgs()).routes("/v1"))
        return behind_door(app)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAYDIO_TOKEN", TOKEN)
        settings.cache_clear()
        with served_app(build) as address:
            yield address


class Caller:
    """One connection, with everything that came over it."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []

    async def send(self, type_: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": type_, **fields}))

    async def next(self, *types: str) -> dict[str, Any]:
        """The next event that comes, of one of some types."""
        async with asyncio.timeout(WAIT_S):
            while True:
                self.events.append(json.loads(await self.socket.recv()))
                if not types or self.events[-1]["type"] in types:
                    return self.events[-1]

    async def session(self) -> dict[str, Any]:
        """`raydio.session`, the end of every greeting."""
        return await self.next("raydio.session")

    async def say(self, text: str) -> None:
        """Write a message, and ask for its answer."""
        content = [{"type": "input_text", "text": text}]
        await self.send(
            "conversation.item.create", item={"type": "message", "role": "user", "content": content}
        )
        await self.send("response.create")

    async def closed(self) -> tuple[int, str]:
        """Wait for the server to hang up; its code and reason."""
        async with asyncio.timeout(WAIT_S):
            with suppress(ConnectionClosed):
                while True:
                    self.events.append(json.loads(await self.socket.recv()))
        return self.socket.close_code or 0, self.socket.close_reason or ""

    def errors(self) -> list[dict[str, Any]]:
        return [event["error"] for event in self.events if event["type"] == "error"]

    def cut(self) -> None:
        """Lose the connection, as a network does: without a word."""
        self.socket.transport.abort()


@asynccontextmanager
async def calling(served: Served, query: str = "", **options: Any) -> AsyncIterator[Caller]:
    """A connection to the door."""
    async with connect(served.url + query, max_size=None, open_timeout=WAIT_S, **options) as socket:
        yield Caller(socket)


def silence(duration_s: float) -> str:
    """PCM silence as a client sends it."""
    return base64.b64encode(bytes(2 * round(duration_s * PCM_RATE_HZ))).decode()


# ---- a spoken turn, as every client sees it ------------------------------------------------------

TURN = [
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "conversation.item.added",
    "conversation.item.done",
    "conversation.item.input_audio_transcription.delta",
    "conversation.item.input_audio_transcription.completed",
    "response.created",
    "rate_limits.updated",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
]
"""Up to the answer's first delta."""
END = [
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "response.output_item.done",
    "conversation.item.done",
    "response.done",
]
"""After its last."""
