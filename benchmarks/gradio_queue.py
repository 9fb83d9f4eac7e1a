"""Gradio's queue protocol: the requests that a page sends in a browser, each set off by the same one."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack

import orjson

from benchmarks.chromium import Call
from benchmarks.mock_engine import TOKEN
from benchmarks.raw_http import Connection, Target

_ENDED = b'"close_stream"'
_TOKEN = TOKEN.strip().encode()


class _Press:
    """One press on Enter: the recorded calls, sent again in a session of their own."""

    def __init__(self, calls: Sequence[Call], connections: Sequence[Connection]) -> None:
        self._calls = calls
        self._connections = connections
        self._session = uuid.uuid4().hex[:10]
        self._ended = [asyncio.Event() for _ in calls]
        self._first_token: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def first_token_ms(self) -> float:
        """Milliseconds from the key press to the first token on the wire."""
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._send(index)) for index in range(len(self._calls))]
            first = await asyncio.wait_for(self._first_token, 30)
            for task in tasks:
                task.cancel()
        return (first - started) * 1000

    async def _send(self, index: int) -> None:
        call, connection = self._calls[index], self._connections[index]
        if call.after is not None:
            await self._ended[call.after].wait()
        await connection.ask("POST", call.path, orjson.dumps({**call.body, "session_hash": self._session}))
        if call.path.endswith("/queue/join"):
            await self._listen(connection)
        self._ended[index].set()

    async def _listen(self, connection: Connection) -> None:
        await connection.send("GET", f"/gradio_api/queue/data?session_hash={self._session}")
        await connection.head()
        received = b""
        while _ENDED not in received:
            received += await connection.some()
            if _TOKEN in received and not self._first_token.done():
                self._first_token.set_result(time.perf_counter())


async def _one(target: Target, calls: Sequence[Call]) -> float:
    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(Connection(target)) for _ in calls]
        return await _Press(calls, connections).first_token_ms()


def first_token_ms(target: Target, calls: Sequence[Call], n_sends: int) -> list[float]:
    """Times from Enter to the first token on the wire, one message after the other, a new session each."""

    async def run() -> list[float]:
        await _one(target, calls)
        return [await _one(target, calls) for _ in range(n_sends)]

    return asyncio.run(run())
