"""The answers that this process writes, saved together while they grow; and those of other processes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from contextvars import Context
from dataclasses import replace

from serve_apps.args import ConversationsArgs
from serve_apps.contracts import Chat
from serve_apps.conversation.answers import AnswerStore, Told
from serve_apps.conversation.asking import Begun
from serve_apps.conversation.running import RunningAnswer, Watcher
from serve_apps.conversation.store import ConversationStore
from serve_apps.conversation.threads import DatabaseThreads
from serve_apps.errors import NotFound, RaydioError
from serve_apps.wire import SourcesFound, TextDelta, TurnFailed
from serve_apps.wire_conversations import (
    AnswerStored,
    AskRequest,
    ConversationEvent,
    Joined,
    StoredMessage,
)

logger = logging.getLogger(__name__)
UNWATCHED = "Stopped because nobody was watching."
STOP_TIMEOUT_S = 5.0
"""How long `stop` waits until the end is stored."""
WATCH_EVERY_S = 2.0
"""How often a watcher in another process says that it is there."""


class Answering:
    """Begins, saves, ends and joins answers.

    Args:
        chat: answers.
        args: how often is saved, and how long unwatched answers go on.
        threads: where the database is spoken with.
        answers: the store of this process's answers.
        conversations: the store of everything else.
        model: names the model that answers.
    """

    def __init__(
        self,
        chat: Chat,
        args: ConversationsArgs,
        *,
        threads: DatabaseThreads,
        answers: AnswerStore,
        conversations: ConversationStore,
        model: Callable[[], Awaitable[str]],
    ) -> None:
        self._chat, self._args, self._threads, self._model = chat, args, threads, model
        self._answers, self._conversations = answers, conversations
        self._running: dict[str, RunningAnswer] = {}
        self._saving: asyncio.Task[None] | None = None

    async def begin(self, request: AskRequest) -> tuple[RunningAnswer, Watcher]:
        """Store the question and start its answer; it goes on when the caller is cancelled meanwhile."""
        beginning = asyncio.create_task(self._begin(request), context=Context())
        try:
            return await asyncio.shield(beginning)
        except asyncio.CancelledError:
            beginning.add_done_callback(_leave)
            raise

    async def follow(self, user: str, conversation_id: str) -> AsyncGenerator[ConversationEvent, None]:
        """See `Conversations.follow`."""
        running = self._running.get(conversation_id)
        local = running is not None and running.user == user
        events = self._joined(running) if running and local else self._polled(user, conversation_id)
        async with aclosing(events):
            async for event in events:
                yield event

    async def stop(self, user: str, conversation_id: str) -> None:
        """See `Conversations.stop`; ends when the end is stored."""
        running = self._running.get(conversation_id)
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                if running is not None and running.user == user:
                    running.stop()
                    await running.stored()
                elif await self._threads.run(self._answers.want_stop, user, conversation_id):
                    await self._until_stopped(user, conversation_id)

    def delete(self, user: str, conversation_id: str) -> None:
        """End an answer of a conversation that is being deleted."""
        running = self._running.get(conversation_id)
        if running is not None and running.user == user:
            running.delete()

    async def _begin(self, request: AskRequest) -> tuple[RunningAnswer, Watcher]:
        loop = asyncio.get_running_loop()
        started: list[tuple[RunningAnswer, Watcher]] = []

        def start(begun: Begun) -> None:
            running = self._start(request, begun)
            started.append((running, running.watch()))

        try:
            await self._threads.run(self._answers.begin, request, lambda begun: _soon(loop, start, begun))
        except BaseException:
            for running, _ in started:
                running.discard()
            raise
        running, watcher = started[0]
        self._keep(running)
        return running, watcher

    def _start(self, request: AskRequest, begun: Begun) -> RunningAnswer:
        conversation_id = begun.conversation.id
        turn = replace(
            request.turn,
            messages=begun.messages,
            user=request.user,
            caller=request.turn.caller or conversation_id,
        )

        async def store_end(answer: StoredMessage) -> bool:
            return await self._threads.run(self._answers.end, answer, conversation_id)

        return RunningAnswer(begun, request.user, self._chat.stream_turn(turn), store_end, self._model)

    def _keep(self, running: RunningAnswer) -> None:
        conversation_id = running.begun.conversation.id
        self._running[conversation_id] = running
        running.run(lambda: self._forget(conversation_id, running))
        if self._saving is None or self._saving.done():
            self._saving = asyncio.create_task(self._save(), context=Context())

    def _forget(self, conversation_id: str, running: RunningAnswer) -> None:
        self._answers.forget(running.begun.answer.id)
        if self._running.get(conversation_id) is running:
            del self._running[conversation_id]

    async def _save(self) -> None:
        """Store what grows, until nothing is being written."""
        while self._running:
            await asyncio.sleep(self._args.save_every_s)
            running = {answer.begun.answer.id: answer for answer in self._running.values()}
            grown = [answer for answer in running.values() if answer.grown]
            try:
                texts = [text for answer in grown if (text := answer.take_grown())]
                told = await self._threads.run(self._answers.save, texts, tuple(running))
            except RaydioError as error:
                logger.warning("Answers are not saved for now: %s", error)
                for answer in grown:
                    answer.grown = True
            else:
                for answer_id, answer in running.items():
                    self._heed(answer, told.get(answer_id))

    def _heed(self, answer: RunningAnswer, told: Told | None) -> None:
        """Do with an answer what other processes want, or nobody's watching."""
        if told is None:
            answer.delete()
        elif told.stop_wanted:
            answer.stop()
        elif told.status != "writing":  # it was taken for dead, and the conversation may have gone on
            answer.stop("interrupted")
        elif min(answer.unwatched_s, told.unwatched_s) > self._args.unwatched_s:
            answer.stop(note=UNWATCHED)

    async def _joined(self, running: RunningAnswer) -> AsyncGenerator[ConversationEvent, None]:
        watcher, so_far = running.watch(), running.answer
        try:
            yield Joined(conversation=running.begun.conversation, answer=so_far)
            async for event in watcher.events():
                yield event
        finally:
            running.leave(watcher)

    async def _polled(self, user: str, conversation_id: str) -> AsyncGenerator[ConversationEvent, None]:
        """The answer as its process stores it."""
        await self._threads.run(self._answers.end_dead)
        found = await self._threads.run(self._conversations.answer, user, conversation_id)
        if found is None:
            return
        conversation, seen = found
        yield Joined(conversation=conversation, answer=seen)
        said_s = 0.0
        while seen.status == "writing":
            if time.monotonic() - said_s >= min(WATCH_EVERY_S, self._args.unwatched_s / 3):
                said_s = time.monotonic()
                await self._threads.run(self._answers.watch, seen.id)
                await self._threads.run(self._answers.end_dead)
            await asyncio.sleep(self._args.save_every_s)
            stored = await self._threads.run(self._conversations.message, seen.id)
            if stored is None:
                raise NotFound("The conversation was deleted.", "Begin a new one.")
            now = replace(stored, branch=seen.branch, n_branches=seen.n_branches, siblings=seen.siblings)
            for event in _news(seen, now):
                yield event
            seen = now
        yield AnswerStored(answer=seen)

    async def _until_stopped(self, user: str, conversation_id: str) -> None:
        # Another process ends it; it says so in the database only.
        while await self._threads.run(self._conversations.answer, user, conversation_id):  # noqa: ASYNC110
            await asyncio.sleep(self._args.save_every_s)


def _soon(loop: asyncio.AbstractEventLoop, start: Callable[[Begun], None], begun: Begun) -> None:
    loop.call_soon_threadsafe(start, begun)


def _leave(beginning: asyncio.Task[tuple[RunningAnswer, Watcher]]) -> None:
    if not beginning.cancelled() and beginning.exception() is None:
        running, watcher = beginning.result()
        running.leave(watcher)


def _news(seen: StoredMessage, now: StoredMessage) -> list[ConversationEvent]:
    """The events between two looks at a stored answer."""
    news: list[ConversationEvent] = []
    if now.sources != seen.sources:
        news.append(SourcesFound(sources=now.sources))
    if len(now.text) > len(seen.text):
        news.append(TextDelta(text=now.text[len(seen.text) :]))
    if now.status == "failed":
        news.append(TurnFailed(stage="chat", code=now.error_code, message=now.error))
    return news
