"""The chat conductor: a written turn, from the messages so far to the answer's events."""

# No `from __future__ import annotations`: Serve checks `args:` only against an annotation that is a class.
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

from ray import serve
from ray.serve import Application

from serve_apps.args import ConductorArgs
from serve_apps.clients import LlmClient
from serve_apps.contracts import Llm
from serve_apps.errors import ContextOverflow, EmptyInput, RaydioError, StageFailed
from serve_apps.turns import TurnClock, close, failed, prompt, span
from serve_apps.wire import (
    ChatRequest,
    LlmDone,
    LlmEvent,
    Message,
    Span,
    TextDelta,
    TurnDone,
    TurnEvent,
    TurnRequest,
)

MAX_ONGOING_TURNS = 500
"""A turn here costs a coroutine; the models behind it have their own, smaller limits."""


class ChatConductor:
    """Leads a turn: system prompt and history to the model, its deltas to the caller.

    Args:
        llm: the language model, over a handle or itself.
        args: the turn's limits.
    """

    def __init__(self, llm: Llm, args: ConductorArgs) -> None:
        self._llm = llm
        self._args = args
        self._prompt = prompt("chat")

    async def stream_turn(self, request: TurnRequest) -> AsyncGenerator[TurnEvent, None]:
        """Yield TextDelta…, then TurnDone or TurnFailed. Closing the iterator stops the model.

        History that does not fit the model's context is left out, oldest exchange first, and
        TurnDone says so in its notes.
        """
        turn = _Turn(TurnClock(self._args.turn_timeout_s))
        events = self._fitting(turn, request)
        try:
            async for event in events:
                for turn_event in turn.told(event):
                    yield turn_event
            if not turn.done:
                raise StageFailed("llm", "The answer ended before it was complete.", "Try again.")
        except RaydioError as error:
            yield failed(error, "llm")
        finally:
            await close(events)

    async def _fitting(self, turn: "_Turn", request: TurnRequest) -> AsyncGenerator[LlmEvent, None]:
        """The model's answer to as much of the conversation as fits its context."""
        if not request.messages or not request.messages[-1].content.strip():
            raise EmptyInput("There is nothing to answer.", "Write or say something first.")
        chat = _chat_request(request, request.system_prompt or self._prompt)
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


@dataclass(slots=True)
class _Turn:
    """What a turn has seen so far; times are its clock's, in milliseconds."""

    clock: TurnClock
    asked_ms: float = 0.0
    first_token_ms: float | None = None
    n_left_out: int = 0
    done: bool = False

    def told(self, event: LlmEvent) -> list[TurnEvent]:
        """What the caller hears of a model's event."""
        if isinstance(event, LlmDone):
            self.done = True
            return [self._end(event)]
        if self.first_token_ms is None:
            self.first_token_ms = self.clock.now_ms()
        return [TextDelta(text=event.text)] if event.text else []

    def _end(self, done: LlmDone) -> TurnDone:
        end_ms = self.clock.now_ms()
        first_ms = end_ms if self.first_token_ms is None else self.first_token_ms
        return TurnDone(
            finish_reason=done.finish_reason,
            usage=done.usage,
            tokens_per_s=done.timings.tokens_per_s,
            first_token_ms=first_ms,
            waterfall=self._waterfall(done.timings.queue_ms, first_ms, end_ms),
            notes=self._notes(),
        )

    def _waterfall(self, queue_ms: float, first_ms: float, end_ms: float) -> tuple[Span, ...]:
        started_ms = min(self.asked_ms + queue_ms, first_ms)
        return (
            span("queue", self.asked_ms, started_ms),
            span("first token", started_ms, first_ms),
            span("answer", first_ms, end_ms),
        )

    def _notes(self) -> tuple[str, ...]:
        if not self.n_left_out:
            return ()
        what = "message was" if self.n_left_out == 1 else f"{self.n_left_out} messages were"
        return (f"The conversation is longer than the model can read: the oldest {what} left out.",)


def _chat_request(request: TurnRequest, system: str) -> ChatRequest:
    return ChatRequest(
        messages=(Message(role="system", content=system), *request.messages),
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        stop=request.stop,
        seed=request.seed,
        caller=request.caller,
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
        super().__init__(LlmClient(), args)


def app(args: ConductorArgs) -> Application:
    """Chat as a Serve application."""
    deployment = serve.deployment(name="chat", max_ongoing_requests=MAX_ONGOING_TURNS)(_ChatApplication)
    return deployment.bind(args)
