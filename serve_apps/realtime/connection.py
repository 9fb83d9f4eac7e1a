"""One socket of a session: its events in, the session's events out, until either ends it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextvars import Context
from dataclasses import dataclass
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from serve_apps.args import RealtimeArgs
from serve_apps.errors import ProtocolError, RaydioError, StageFailed
from serve_apps.realtime import server_events as tell
from serve_apps.realtime.client_events import AppendAudio, ClientEvent
from serve_apps.realtime.config import Pcm
from serve_apps.realtime.formats import duration_ms
from serve_apps.realtime.limits import Limits
from serve_apps.realtime.parsing import parse
from serve_apps.realtime.sessions import Live

NORMAL, TIMED_OUT, TAKEN_OVER, TOO_MUCH = 1000, 4408, 4409, 4429
"""Close codes; the server's own are 4000 and the HTTP status that says the same."""
CLOSE_TIMEOUT_S = 1.0
"""A client that takes nothing does not take the close either."""
PIECE_BYTES = 48_000
"""Audio is heard in pieces of at most a second of PCM, so that no other session waits for a long one."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a connection ended."""

    code: int
    reason: str = ""
    by_client: bool = False
    session_ends: bool = False


_TAKEN_OVER = Ending(TAKEN_OVER, "The session goes on over another connection.")
_ABUSED = Ending(TOO_MUCH, "Too many events were refused.", session_ends=True)
_OVERFLOWED = Ending(TIMED_OUT, "Too much waits to be read.", session_ends=True)
_STUCK = Ending(TIMED_OUT, "The client has stopped reading.")


class Connection:
    """Reads and writes at the same time: neither waits for the other.

    Args:
        socket: accepted.
        live: the session.
        args: limits.
    """

    def __init__(self, socket: WebSocket, live: Live, args: RealtimeArgs) -> None:
        self._socket = socket
        self._session = live.session
        self._outbox = live.outbox
        self._limits = Limits(args)
        self._send_timeout_s = args.send_timeout_s
        self._replaced = False
        self._tasks: list[asyncio.Task[Any]] = []

    def replace(self) -> None:
        """Hang up, and take nothing out of the session's outbox from this moment on."""
        self._replaced = True
        for task in self._tasks:
            task.cancel()

    async def run(self) -> Ending:
        """Serve the socket until it ends; returns why it did."""
        # Not in the request's context: Serve cancels, with a lost socket, all calls that were made in it.
        self._tasks = [asyncio.create_task(work, context=Context()) for work in (self._read(), self._write())]
        reading, writing = self._tasks
        try:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done() and not self._replaced and writing.result() is None:
                await asyncio.wait([reading])  # the socket is gone: the reader is told how it went
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
        ended = writing if reading.cancelled() else reading
        ending: Ending = _TAKEN_OVER if self._replaced else ended.result()
        if not ending.by_client:
            await self._close(ending)
        return ending

    async def _read(self) -> Ending:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                code = message.get("code") or NORMAL
                return Ending(code, by_client=True, session_ends=code == NORMAL)
            # Whoever handed us the message holds it until the next one comes: a large text must not stay.
            if not await self._hear(message.pop("text", None)):
                return _ABUSED

    async def _hear(self, text: str | None) -> bool:
        """Do what one message says, or say why not; False when that has happened too often."""
        if text is None:
            return self._refuse(ProtocolError("Binary messages mean nothing here.", "Send JSON."), None)
        event_id = None
        try:
            self._limits.admit(text)
            event_id, event = parse(text, self._session.settings)
            for piece in self._pieces(event):
                self._session.handle(piece)
                await asyncio.sleep(0)
        except RaydioError as error:
            return self._refuse(error, event_id)
        # A bug of ours is one event's failure, not the conversation's end.
        except Exception:
            log.exception("A client's event could not be handled")
            return self._refuse(StageFailed("voice", "Something in this session failed."), event_id)
        return True

    def _pieces(self, event: ClientEvent) -> Iterator[ClientEvent]:
        """The event; long audio in pieces, unless it is wrong: then nothing of it is heard."""
        if not isinstance(event, AppendAudio):
            yield event
            return
        sound = self._session.settings.audio.input.format
        self._limits.admit_audio(duration_ms(event.data, sound) / 1000)
        is_whole = not (isinstance(sound, Pcm) and len(event.data) % 2)
        step = PIECE_BYTES if is_whole else len(event.data)
        for start in range(0, len(event.data), step):
            yield AppendAudio(data=event.data[start : start + step])

    def _refuse(self, error: RaydioError, event_id: str | None) -> bool:
        self._outbox.emit(tell.error(error, getattr(error, "event_id", None) or event_id))
        return self._limits.tolerate()

    async def _write(self) -> Ending | None:
        try:
            while (event := await self._outbox.take()) is not None:
                async with asyncio.timeout(self._send_timeout_s):
                    await self._socket.send_text(event)
        except TimeoutError:
            return _OVERFLOWED if self._outbox.overflowed else _STUCK
        except WebSocketDisconnect:
            return None
        return _OVERFLOWED

    async def _close(self, ending: Ending) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._socket.close(ending.code, ending.reason)
        except (TimeoutError, WebSocketDisconnect, RuntimeError):
            log.debug("The client was gone before it could be told why.")
