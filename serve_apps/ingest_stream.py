"""Events of an ingest as an HTTP answer: a stream of them, or the report at the end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from serve_apps.door import error_response
from serve_apps.errors import RaydioError, StageFailed
from serve_apps.wire_knowledge import FileAdded, FileSkipped, IngestDone, IngestEvent

Events = AsyncGenerator[IngestEvent, None]
_SSE, _NDJSON = "text/event-stream", "application/x-ndjson"
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
_CLIENT_LEFT = 499
"""What logs say of a request whose client did not wait for the answer."""


def wants_stream(request: Request) -> bool:
    """Whether the caller asked for events, by `?stream=true` or by what it accepts."""
    accepted = request.headers.get("accept", "")
    asked = request.query_params.get("stream", "").lower() in ("true", "1")
    return asked or _SSE in accepted or _NDJSON in accepted


async def answered(
    request: Request, events: Events, *, streamed: bool, done: Callable[[], None] = lambda: None
) -> Response:
    """The answer; a client that leaves cancels the work.

    Args:
        request: who asks.
        events: of `Ingest.stream_ingest` or `stream_reindex`.
        streamed: events as they come (SSE where that is accepted, else a JSON object a line), or one report.
        done: called when all is over, also when nobody waits for it any more.

    Raises:
        RaydioError: before the first event; later ones are told in the stream.
    """
    if not streamed:
        try:
            return await _report(request, events)
        finally:
            await _over(events, done)
    try:
        first = await anext(events)
    except BaseException:
        await _over(events, done)
        raise
    as_sse = _SSE in request.headers.get("accept", "")
    lines = _lines(first, events, b"data: %s\n\n" if as_sse else b"%s\n")
    over = partial(_over, events, done)
    return _ClosingResponse(lines, over, media_type=_SSE if as_sse else _NDJSON, headers=_HEADERS)


async def _over(events: Events, done: Callable[[], None]) -> None:
    try:
        await events.aclose()
    finally:
        done()


class _ClosingResponse(StreamingResponse):
    """Ends the work when the client has left, and does not leave that to the garbage collector."""

    def __init__(
        self, lines: AsyncGenerator[bytes, None], over: Callable[[], Awaitable[None]], **options: Any
    ) -> None:
        super().__init__(lines, **options)
        self._lines = lines
        self._over = over

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with aclosing(self._lines):
                await super().__call__(scope, receive, send)
        finally:
            await self._over()


async def _lines(first: IngestEvent, rest: Events, shape: bytes) -> AsyncGenerator[bytes, None]:
    """The events; an error after the first can only be told among them."""
    yield shape % encoded(first)
    try:
        async for event in rest:
            yield shape % encoded(event)
    except RaydioError as error:
        yield shape % bytes(error_response(error).body)


async def _report(request: Request, events: Events) -> Response:
    """Everything that happened, at the end, unless the client leaves before."""
    reading = asyncio.create_task(_gathered(events))
    leaving = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait([reading, leaving], return_when=asyncio.FIRST_COMPLETED)
        return reading.result() if reading.done() else Response(status_code=_CLIENT_LEFT)
    finally:
        for task in (reading, leaving):
            task.cancel()
        await asyncio.wait([reading, leaving])


async def _gathered(events: Events) -> Response:
    added: list[FileAdded] = []
    skipped: list[FileSkipped] = []
    async for event in events:
        match event:
            case FileAdded():
                added.append(event)
            case FileSkipped():
                skipped.append(event)
            case IngestDone():
                fields = orjson.loads(encoded(event))
                report = orjson.dumps({**fields, "added": added, "skipped": skipped})
                return Response(report, media_type="application/json", headers=_HEADERS)
    raise StageFailed("ingest", "The report did not arrive.", "See the collection for what was added.")


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def encoded(event: IngestEvent) -> bytes:
    """An event as JSON: its name as `type`, `file_added`, and its fields."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
    return orjson.dumps({"type": name, **orjson.loads(orjson.dumps(event))})
