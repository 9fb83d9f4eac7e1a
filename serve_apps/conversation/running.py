"""An answer being written: one task of its own, and as many watchers as come and go."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from contextvars import Context
from dataclasses import replace

from serve_apps.conversation.asking import Begun
from serve_apps.errors import NotFound, RaydioError
from serve_apps.turns import close, failed
from serve_apps.wire import SourcesFound, TextDelta, TurnDone, TurnEvent, TurnFailed
from serve_apps.wire_conversations import AnswerStored, ConversationEvent, MessageStatus, StoredMessage

logger = logging.getLogger(__name__)
RETRY_S = 1.0
"""Pause before an answer's end is stored again, where the database could not."""


class Watcher:
    """What one watcher has not taken yet; text that waits is joined, so that nobody slow loses any."""

    def __init__(self) -> None:
        self._events: list[ConversationEvent] = []
        self._text: list[str] = []
        self._error: RaydioError | None = None
        self._ended = False
        self._arrived = asyncio.Event()

    def put(self, event: ConversationEvent) -> None:
        """One more event; never waits."""
        if isinstance(event, TextDelta):
            self._text.append(event.text)
        else:
            self._join()
            self._events.append(event)
        self._arrived.set()

    def end(self, error: RaydioError | None = None) -> None:
        """Nothing comes after this."""
        self._ended, self._error = True, error
        self._arrived.set()

    async def events(self) -> AsyncGenerator[ConversationEvent, None]:
        """What comes, until the end.

        Raises:
            RaydioError: what the end was, where it was an error.
        """
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            ended = self._ended
            self._join()
            events, self._events = self._events, []
            for event in events:
                yield event
            if ended:
                break
        if self._error is not None:
            raise self._error

    def _join(self) -> None:
        if self._text:
            self._events.append(TextDelta(text="".join(self._text)))
            self._text.clear()


class RunningAnswer:
    """Runs a turn whose question is stored, whoever watches, and stores its end.

    Args:
        begun: the question and the answer's place.
        user: whose conversation it is.
        turn: the turn's events, from the chat conductor.
        store_end: stores the answer; False when it was deleted.
        model: names the model that answers, or says nothing.
    """

    def __init__(
        self,
        begun: Begun,
        user: str,
        turn: AsyncIterator[TurnEvent],
        store_end: Callable[[StoredMessage], Awaitable[bool]],
        model: Callable[[], Awaitable[str]],
    ) -> None:
        self.begun = begun
        self.user = user
        self.grown = False
        """Something came since `take_grown`."""
        self.unwatched_since: float = time.monotonic()
        self._turn, self._store_end, self._model = turn, store_end, model
        self._answer = begun.answer
        self._text: list[str] = []
        self._watchers: set[Watcher] = set()
        self._stored = asyncio.Event()
        self._deleted = False
        # An empty context: Serve cancels calls that were made in the context of a request whose client left.
        self._reading = asyncio.create_task(self._read(), context=Context())
        self._running: asyncio.Task[None] | None = None

    @property
    def answer(self) -> StoredMessage:
        """The answer so far."""
        if len(self._text) > 1:
            self._text = ["".join(self._text)]
        return replace(self._answer, text=self._text[0] if self._text else "")

    @property
    def unwatched_s(self) -> float:
        """For how long nobody in this process has watched."""
        return 0.0 if self._watchers else time.monotonic() - self.unwatched_since

    def take_grown(self) -> StoredMessage | None:
        """The answer so far if it has grown since the last time."""
        if not self.grown:
            return None
        self.grown = False
        return self.answer

    def run(self, ended: Callable[[], None]) -> None:
        """The question is on disk: watch the turn to its end and store that; then call `ended`."""
        self._running = asyncio.create_task(self._run(ended), context=Context())

    def discard(self) -> None:
        """The question could not be stored: nothing of this was ever there."""
        self._reading.cancel()

    def watch(self) -> Watcher:
        """Events from here on: `answer`, read before anything is awaited, and they make the whole."""
        watcher = Watcher()
        if self._stored.is_set():
            watcher.end()
        self._watchers.add(watcher)
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """One watcher less."""
        self._watchers.discard(watcher)
        self.unwatched_since = time.monotonic()

    def stop(self, status: MessageStatus = "stopped", note: str = "") -> None:
        """End the turn; what came stays."""
        if self._answer.status == "writing":
            notes = (*self._answer.notes, note) if note else self._answer.notes
            self._answer = replace(self._answer, status=status, notes=notes)
            self._reading.cancel()

    def delete(self) -> None:
        """End the turn and store nothing."""
        self._deleted = True
        self.stop()

    async def stored(self) -> None:
        """Wait until the answer's end is on disk, or it is deleted."""
        await self._stored.wait()

    async def _run(self, ended: Callable[[], None]) -> None:
        await asyncio.wait([self._reading])
        if self._answer.status == "writing":  # its loop is being closed
            self._answer = replace(self._answer, status="interrupted")
        kept = await self._keep_end()
        self._stored.set()
        ended()
        for watcher in self._watchers:
            if kept:
                watcher.put(AnswerStored(answer=self.answer))
            watcher.end(None if kept else _deleted())

    async def _keep_end(self) -> bool:
        """Store the end, as often as it takes; False when the answer was deleted."""
        if self._answer.status != "failed":  # it may be the model that is gone
            self._answer = replace(self._answer, model=await self._model())
        while not self._deleted:
            try:
                return await self._store_end(self.answer)
            except RaydioError as error:
                logger.warning("An answer's end waits for the database: %s", error)
                for watcher in self._watchers:
                    watcher.end(error)
                self._watchers.clear()
            await asyncio.sleep(RETRY_S)
        return False

    async def _read(self) -> None:
        """Take the turn's events; afterwards the answer's status says how it ended."""
        try:
            async for event in self._turn:
                self._take(event)
                if isinstance(event, TurnDone | TurnFailed):
                    break
            if self._answer.status == "writing":
                self._fail(TurnFailed(stage="chat", code="stage_failed", message="The answer ended early."))
        except RaydioError as error:
            self._fail(failed(error, "chat"))
        except Exception:  # whatever went wrong: nobody else would end this answer
            logger.exception("An answer failed")
            self._fail(TurnFailed(stage="chat", code="internal_error", message="The answer failed."))
        finally:
            with suppress(RaydioError):
                await close(self._turn)

    def _take(self, event: TurnEvent) -> None:
        match event:
            case TextDelta(text=text):
                self._text.append(text)
            case SourcesFound(sources=sources):
                self._answer = replace(self._answer, sources=sources)
            case TurnFailed():
                self._fail(event)
                return
            case TurnDone():
                self._finish(event)
        self._tell(event)

    def _finish(self, done: TurnDone) -> None:
        self._answer = replace(
            self._answer,
            status="done",
            waterfall=done.waterfall,
            tokens_per_s=done.tokens_per_s,
            first_token_ms=done.first_token_ms,
            n_tokens=done.usage.completion_tokens,
            notes=(*self._answer.notes, *done.notes),
        )

    def _fail(self, event: TurnFailed) -> None:
        self._answer = replace(self._answer, status="failed", error=event.message, error_code=event.code)
        self._tell(event)

    def _tell(self, event: ConversationEvent) -> None:
        self.grown = True
        for watcher in self._watchers:
            watcher.put(event)


def _deleted() -> NotFound:
    return NotFound("The conversation was deleted.", "Begin a new one.")
