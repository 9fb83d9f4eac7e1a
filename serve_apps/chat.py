"""The chat conductor: a written turn, from the messages so far to the answer's events.

Question → embedding → nearest passages → rerank → the best of them → answer, with its sources; without
documents the answer alone.
"""

# No `from __future__ import annotations`: Serve checks `args:` only against an annotation that is a class.
import asyncio
from collections.abc import AsyncGenerator, Awaitable, Sequence
from dataclasses import replace
from typing import TypeVar

from ray import serve
from ray.serve import Application

from serve_apps.args import ConductorArgs
from serve_apps.chat_turn import Turn
from serve_apps.citations import Support
from serve_apps.cited_text import CitedText
from serve_apps.clients import EmbeddingsClient, LlmClient, RerankerClient
from serve_apps.clients_knowledge import KnowledgeClient
from serve_apps.contracts import Llm
from serve_apps.errors import ContextOverflow, EmptyInput, InputError, RaydioError, StageFailed
from serve_apps.finding import Found
from serve_apps.follow_up import FollowUps
from serve_apps.grounding import Counts, Grounds, counted, grounded
from serve_apps.retrieval import Ranking, Retriever
from serve_apps.token_counts import TokenCounts
from serve_apps.turns import TurnClock, close, failed, prompt
from serve_apps.wire import (
    ChatRequest,
    LlmEvent,
    Message,
    SourcesFound,
    TextDelta,
    TurnEvent,
    TurnRequest,
)
from serve_apps.wire_knowledge import Retrieval

Result = TypeVar("Result")

MAX_ONGOING_TURNS = 500
"""A turn here costs a coroutine; the models behind it have their own, smaller limits."""
PROMPTS = ("chat", "voice")
"""System prompts of the installation itself; an engine may remember what it read of them."""
NOT_IN_DOCUMENTS = "I found nothing about that in your documents."
NOTHING_FOUND = "Nothing in the documents matched: the model answered alone."


class ChatConductor:
    """Leads a turn: question to passages, these and the history to the model, its deltas to the caller.

    Args:
        llm: the language model, over a handle or itself.
        retriever: finds passages; None where no documents are served.
        args: the turn's limits.
    """

    def __init__(self, llm: Llm, args: ConductorArgs, retriever: Retriever | None = None) -> None:
        self._llm = llm
        self._retriever = retriever
        self._args = args
        self._tokens_of = TokenCounts(llm)
        self._follow_ups = FollowUps(llm, args.retrieval.rewrite)
        self._prompt, self._documents = prompt("chat"), prompt("documents")
        self._shared = {
            text for name in PROMPTS for text in (prompt(name), self._with_documents(prompt(name)))
        }

    async def stream_turn(self, request: TurnRequest) -> AsyncGenerator[TurnEvent, None]:
        """Yield SourcesFound (if documents are asked), TextDelta…, then TurnDone or TurnFailed.

        Closing the iterator stops the model. History that does not fit the model's context is left out,
        oldest exchange first; passages that do not fit are left out, worst first; TurnDone says so in its
        notes, and what was done without. Numbers in the text are those of sources that hold the sentence.
        """
        turn = Turn(TurnClock(self._args.turn_timeout_s))
        events = self._events(turn, request)
        try:
            async for event in events:
                yield event
        except RaydioError as error:
            yield failed(error, turn.stage)
        finally:
            await close(events)

    async def _events(self, turn: Turn, request: TurnRequest) -> AsyncGenerator[TurnEvent, None]:
        if not request.messages or not request.messages[-1].content.strip():
            raise EmptyInput("There is nothing to answer.", "Write or say something first.")
        retrieval = request.retrieval
        if retrieval is None or retrieval.mode == "no_documents":
            answer = self._answer(
                turn, _chat_request(request, request.messages, self._system(request), self._shared)
            )
        else:
            turn.stage = "knowledge"
            found = await self._found(turn, request, retrieval)
            turn.stage = "llm"
            grounds = await self._grounds(turn, request, retrieval, found)
            yield SourcesFound(sources=grounds.sources, query=_unlike(found, request))
            if not grounds.sources and retrieval.mode == "documents_only":
                yield TextDelta(text=NOT_IN_DOCUMENTS)
                yield turn.refused()
                return
            answer = self._from_documents(turn, request, grounds)
        try:
            async for event in answer:
                yield event
        finally:
            await close(answer)

    # ---- documents -------------------------------------------------------------------------------

    async def _found(self, turn: Turn, request: TurnRequest, retrieval: Retrieval) -> Found | None:
        """None when the documents could not be searched and the turn may go on without them."""
        try:
            if self._retriever is None:
                raise StageFailed(
                    "knowledge", "There are no documents here.", "See the home page for what runs."
                )
            async with turn.clock.limit():
                query = await self._follow_ups.query(request.messages)
                return await self._retriever.search(request.user, query, retrieval, turn.clock.now_ms)
        except TimeoutError as error:
            raise turn.clock.expired("knowledge") from error
        except RaydioError as error:
            if retrieval.mode == "documents_only" or isinstance(error, InputError):
                raise
            turn.notes.append(f"{error.message} The model answered alone.")
            return None

    async def _grounds(
        self, turn: Turn, request: TurnRequest, retrieval: Retrieval, found: Found | None
    ) -> Grounds:
        if self._retriever is None or found is None:
            return Grounds(sources=(), messages=request.messages, notes=())
        limits = self._args.retrieval
        n_passages = retrieval.n_passages or limits.n_passages
        ranking, counts = await self._ranked(turn, self._retriever, request, found, n_passages)
        turn.spans += ranking.spans
        turn.notes += ranking.notes
        if not ranking.hits:
            if retrieval.mode == "documents_first":
                turn.notes.append(NOTHING_FOUND)
            return Grounds(sources=(), messages=request.messages, notes=())
        grounds = grounded(request.messages, ranking.hits, counts, n_passages, limits)
        turn.notes += grounds.notes
        return grounds

    async def _ranked(
        self, turn: Turn, retriever: Retriever, request: TurnRequest, found: Found, n_passages: int
    ) -> tuple[Ranking, Counts]:
        """What was found in its order, and the tokens of what may be quoted of it."""
        if found.scored is None:
            order = retriever.order(found)
            return await self._beside(turn, order, counted(self._tokens_of, request.messages, found.hits))
        ranking = await retriever.order(found)
        best = [item.hit for item in ranking.hits[:n_passages]]
        return ranking, await self._in_time(turn, counted(self._tokens_of, request.messages, best))

    async def _beside(
        self, turn: Turn, order: Awaitable[Ranking], counts: Awaitable[Counts]
    ) -> tuple[Ranking, Counts]:
        """Both, as long as the longer takes: what may be quoted is counted while the reranker reads it."""
        return await self._in_time(turn, asyncio.gather(order, counts))

    async def _in_time(self, turn: Turn, work: Awaitable[Result]) -> Result:
        try:
            async with turn.clock.limit():
                return await work
        except TimeoutError as error:
            raise turn.clock.expired("llm") from error

    async def _from_documents(
        self, turn: Turn, request: TurnRequest, grounds: Grounds
    ) -> AsyncGenerator[TurnEvent, None]:
        """The answer with its numbers checked."""
        system = self._system(request)
        if grounds.sources:
            system = self._with_documents(system)
        turn.cited = CitedText(Support([source.text for source in grounds.sources]))
        turn.must_be_traced = bool(grounds.sources)
        answer = self._answer(turn, _chat_request(request, grounds.messages, system, self._shared))
        try:
            async for event in answer:
                yield event
        finally:
            await close(answer)

    # ---- the model -------------------------------------------------------------------------------

    def _system(self, request: TurnRequest) -> str:
        return request.system_prompt or self._prompt

    def _with_documents(self, system: str) -> str:
        return f"{system}\n\n{self._documents}"

    async def _answer(self, turn: Turn, chat: ChatRequest) -> AsyncGenerator[TurnEvent, None]:
        events = self._fitting(turn, chat)
        try:
            async for event in events:
                for turn_event in turn.told(event):
                    yield turn_event
            if not turn.done:
                raise StageFailed("llm", "The answer ended before it was complete.", "Try again.")
        finally:
            await close(events)

    async def _fitting(self, turn: Turn, chat: ChatRequest) -> AsyncGenerator[LlmEvent, None]:
        """The model's answer to as much of the conversation as fits its context."""
        while True:
            stream = turn.clock.until_deadline(self._llm.stream_chat(chat), "llm")
            turn.asked_ms = turn.clock.now_ms()
            try:
                async for event in stream:
                    yield event
            except ContextOverflow:
                shorter = _without_oldest(chat.messages)
                if turn.first_token_ms is not None or shorter == chat.messages:
                    raise
                turn.n_left_out += len(chat.messages) - len(shorter)
                chat = replace(chat, messages=shorter)
            else:
                return
            finally:
                await close(stream)


def _unlike(found: Found | None, request: TurnRequest) -> str:
    """What was searched for, when it is not the user's own words."""
    return found.query if found is not None and found.query != request.messages[-1].content else ""


def _chat_request(
    request: TurnRequest, messages: Sequence[Message], system: str, shared: set[str]
) -> ChatRequest:
    return ChatRequest(
        messages=(Message(role="system", content=system), *messages),
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        stop=request.stop,
        seed=request.seed,
        caller=request.caller,
        system_is_shared=system in shared,
    )


def _without_oldest(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Drop the older half of the exchanges before the last message; the same messages when there are none.

    Half, not one, so that a long conversation fits after a few attempts and stays fitting for some turns.
    """
    system, *history, last = messages
    starts = [i for i, message in enumerate(history) if message.role == "user" and i]
    kept = history[starts[len(starts) // 2] :] if starts else []
    return (system, *kept, last)


class _ChatApplication(ChatConductor):
    """The conductor as a deployment of its own, over handles to the other applications."""

    def __init__(self, args: ConductorArgs) -> None:
        llm = LlmClient()
        retriever = Retriever(EmbeddingsClient(), KnowledgeClient(), RerankerClient(), args.retrieval)
        super().__init__(llm, args, retriever)


def app(args: ConductorArgs) -> Application:
    """Chat as a Serve application."""
    deployment = serve.deployment(name="chat", max_ongoing_requests=MAX_ONGOING_TURNS)(_ChatApplication)
    return deployment.bind(args)
