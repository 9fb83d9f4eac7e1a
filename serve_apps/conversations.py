"""The conversations conductor: what was said is stored, and answers go on whoever watches."""

# No `from __future__ import annotations`: Serve checks `args:` only against an annotation that is a class.
import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from ray import serve
from ray.serve import Application

from serve_apps.args import ConversationsArgs
from serve_apps.clients import ChatClient, LlmClient
from serve_apps.contracts import Chat, Llm
from serve_apps.errors import EmptyInput, RaydioError, TextTooLong
from serve_apps.wire_conversations import (
    Asked,
    AskRequest,
    Conversation,
    ConversationChange,
    ConversationEvent,
    ConversationSummary,
    Exported,
    ExportFormat,
    Imported,
    ListRequest,
    StoredMessage,
    Thumb,
)

if TYPE_CHECKING:  # the process that deploys needs no database
    from sqlalchemy import Engine

    from serve_apps.conversation.host import Host

MAX_ONGOING_CALLS = 1000
"""A watcher costs a coroutine; the models behind answers have their own, smaller limits."""
MOST_CHARACTERS = 500_000
"""Of a question."""
MODEL_KNOWN_S = 60.0
"""For how long the answering model's name is not asked for again."""
MODEL_TIMEOUT_S = 1.0
"""An answer's end waits no longer for the model's name."""


class ConversationsConductor:
    """Stored conversations; see `contracts_conversations.Conversations`.

    Args:
        chat: answers questions.
        args: how often answers are saved, and how long unwatched ones go on.
        database: where everything is stored; None: as the settings say, opened on first use.
        llm: says which model answers; None: answers do not name it.
    """

    def __init__(
        self,
        chat: Chat,
        args: ConversationsArgs,
        database: "Engine | None" = None,
        *,
        llm: Llm | None = None,
    ) -> None:
        self._chat, self._args, self._database = chat, args, database
        self._model = _Model(llm)
        self._opening = asyncio.Lock()
        self._host: Host | None = None

    async def summaries(self, request: ListRequest) -> list[ConversationSummary]:
        """See `Conversations.summaries`."""
        host = await self._settled()
        return await host.threads.run(host.store.summaries, request)

    async def folders(self, user: str) -> tuple[list[str], list[str]]:
        """See `Conversations.folders`."""
        host = await self._opened()
        return await host.threads.run(host.store.folders, user)

    async def open(self, user: str, conversation_id: str) -> Conversation:
        """See `Conversations.open`; an answer that is being written is as it was saved last: `follow` it."""
        host = await self._settled()
        return await host.threads.run(host.store.open, user, conversation_id)

    async def change(self, user: str, conversation_id: str, change: ConversationChange) -> Conversation:
        """See `Conversations.change`."""
        host = await self._opened()
        return await host.threads.run(host.store.change, user, conversation_id, change)

    async def delete(self, user: str, conversation_ids: Sequence[str]) -> int:
        """See `Conversations.delete`."""
        host = await self._opened()
        for conversation_id in conversation_ids:
            host.answering.delete(user, conversation_id)
        return await host.threads.run(host.store.delete, user, conversation_ids)

    async def ask(self, request: AskRequest) -> AsyncGenerator[ConversationEvent, None]:
        """See `Conversations.ask`. An answer that is stopped ends with AnswerStored alone.

        Raises:
            EmptyInput: there is no question.
            TextTooLong: it is longer than any model reads.
            NotFound: no such conversation or message, or it is another user's.
            InputError: an answer is being written there already.
            StageUnavailable: the database cannot store the question; no model was asked.
        """
        if request.answer_again is None and not request.text.strip():
            raise EmptyInput("There is nothing to answer.", "Write something first.")
        if len(request.text) > MOST_CHARACTERS:
            raise TextTooLong(
                f"A question has {MOST_CHARACTERS:,} characters at most.", "Add it as a document instead."
            )
        host = await self._opened()
        running, watcher = await host.answering.begin(request)
        try:
            begun = running.begun
            yield Asked(conversation=begun.conversation, question=begun.question, answer_id=begun.answer.id)
            async with aclosing(watcher.events()) as events:
                async for event in events:
                    yield event
        finally:
            running.leave(watcher)

    async def follow(self, user: str, conversation_id: str) -> AsyncGenerator[ConversationEvent, None]:
        """See `Conversations.follow`; of an answer that another process writes, TurnDone is left out."""
        host = await self._opened()
        async with aclosing(host.answering.follow(user, conversation_id)) as events:
            async for event in events:
                yield event

    async def stop(self, user: str, conversation_id: str) -> None:
        """See `Conversations.stop`."""
        host = await self._opened()
        await host.answering.stop(user, conversation_id)

    async def feedback(
        self, user: str, message_id: str, thumb: Thumb | None, comment: str = ""
    ) -> StoredMessage:
        """See `Conversations.feedback`."""
        host = await self._opened()
        return await host.threads.run(host.store.feedback, user, message_id, thumb, comment)

    async def export(self, user: str, conversation_ids: Sequence[str], as_format: ExportFormat) -> Exported:
        """See `Conversations.export`."""
        host = await self._opened()
        return await host.files.export(user, conversation_ids, as_format)

    async def export_feedback(self, user: str) -> Exported:
        """See `Conversations.export_feedback`."""
        host = await self._opened()
        return await host.files.export_feedback(user)

    async def import_file(self, user: str, data: bytes) -> Imported:
        """See `Conversations.import_file`; Open WebUI's export, too."""
        host = await self._opened()
        return await host.files.import_file(user, data)

    async def _settled(self) -> "Host":
        """With answers that dead processes left behind marked as interrupted."""
        host = await self._opened()
        await host.threads.run(host.answers.end_dead)
        return host

    async def _opened(self) -> "Host":
        if self._host is not None:
            return self._host
        async with self._opening:
            if self._host is None:
                self._host = await asyncio.to_thread(self._open)
        return self._host

    def _open(self) -> "Host":
        from serve_apps.conversation.host import host  # noqa: PLC0415 -- not in the process that deploys

        return host(self._chat, self._args, self._database, self._model)


class _Model:
    """The name of the model that answers, asked for now and then."""

    def __init__(self, llm: Llm | None) -> None:
        self._llm = llm
        self._name = ""
        self._known_until = 0.0

    async def __call__(self) -> str:
        """Its name; the one before, or nothing, when the model does not say."""
        if self._llm is not None and time.monotonic() >= self._known_until:
            self._known_until = time.monotonic() + MODEL_KNOWN_S
            with suppress(RaydioError, TimeoutError):
                async with asyncio.timeout(MODEL_TIMEOUT_S):
                    self._name = (await self._llm.describe()).card.model
        return self._name


class _ConversationsApplication(ConversationsConductor):
    """The conductor as a deployment of its own, over handles to the other applications."""

    def __init__(self, args: ConversationsArgs) -> None:
        super().__init__(ChatClient(), args, llm=LlmClient())


def app(args: ConversationsArgs) -> Application:
    """Conversations as a Serve application."""
    deployment = serve.deployment(name="conversations", max_ongoing_requests=MAX_ONGOING_CALLS)
    return deployment(_ConversationsApplication).bind(args)
