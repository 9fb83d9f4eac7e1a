"""The llm stage: one language model engine behind a fair queue, its tokens coalesced for the wire."""

# No `from __future__ import annotations` here: Ray Serve validates `args:` against the class in
# `app`'s annotation, and silently does not when the annotation is a string.

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import replace

from ray.serve import Application

from serve_apps import engines
from serve_apps.admission import FairQueue
from serve_apps.args import LlmArgs
from serve_apps.coalesce import coalesce
from serve_apps.contracts import LlmEngine
from serve_apps.errors import ContextOverflow, EmptyInput, InputError, RaydioError, StageFailed
from serve_apps.metrics import StageMeter
from serve_apps.stage_deployment import stage_deployment
from serve_apps.wire import ChatRequest, LlmDone, LlmEvent, Message, StageReport

ROLES = frozenset({"system", "user", "assistant"})
MAX_TEMPERATURE = 2.0
MAX_STOPS = 16
MAX_STOP_CHARACTERS = 200
MAX_CHARACTERS_PER_TOKEN = 64
"""More than a token has on average in any text: longer conversations are refused without counting."""
MAX_FAILURES_IN_A_ROW = 3
"""An engine that fails this often in a row is broken; Serve replaces an unhealthy replica."""


class LlmStage:
    """A language model: OpenAI chat semantics, streamed.

    Args:
        args: what runs, and its limits.
        engine_class: instead of the one that `args.engine` names.
    """

    def __init__(self, args: LlmArgs, engine_class: Callable[[LlmArgs], LlmEngine] | None = None) -> None:
        chosen = engine_class or engines.engine_class("llm", args.engine)
        self._engine: LlmEngine = chosen(args)
        self._queue = FairQueue(
            "llm",
            n_slots=self._engine.n_workers,
            max_waiting=args.max_waiting,
            max_wait_s=args.max_wait_s,
        )
        self._meter = StageMeter(self._engine.card)
        self._control = _ControlTokens(self._engine.control_tokens)
        self._window_s = args.coalesce_ms / 1000
        self._n_failures_in_a_row = 0

    async def stream_chat(self, request: ChatRequest) -> AsyncGenerator[LlmEvent, None]:
        """Yield deltas (the first at once, later ones coalesced), then one LlmDone.

        Closing the iterator, or cancelling its consumer, gives up the place in the queue or stops the
        model.

        Raises:
            EmptyInput, InputError, ContextOverflow, UnsupportedOption: the request.
            StageBusy: the queue is full, or the wait was too long.
            StageFailed: the engine.
        """
        check(request, self._engine.context_tokens)
        arrived = time.perf_counter()
        with self._meter.request() as running, self._watched():
            async with self._queue.slot(request.caller):
                queue_ms = (time.perf_counter() - arrived) * 1000
                answer = self._engine.stream_chat(self._control.defused(request))
                async with aclosing(coalesce(answer, self._window_s)) as events:
                    async for event in events:
                        running.first_output()
                        yield _with_queue(event, queue_ms) if isinstance(event, LlmDone) else event

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text as the model reads it, without the template around it."""
        return await asyncio.to_thread(self._engine.text_tokens, texts)

    async def describe(self) -> StageReport:
        """What runs here, and how much it has done."""
        report = self._meter.report()
        return replace(report, n_running=self._queue.n_running, n_waiting=self._queue.n_waiting)

    async def check_health(self) -> None:
        """Tell Serve to replace this replica when its engine keeps failing.

        Raises:
            StageFailed: the last requests all failed.
        """
        if self._n_failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
            raise StageFailed("llm", f"The last {self._n_failures_in_a_row} requests failed in the engine.")

    def close(self) -> None:
        """Free the model."""
        self._engine.close()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Count the engine's own failures, not the callers' mistakes or cancels."""
        try:
            yield
        except RaydioError as error:
            if isinstance(error, StageFailed):
                self._n_failures_in_a_row += 1
            raise
        else:
            self._n_failures_in_a_row = 0


class _ControlTokens:
    """Takes the meaning out of text that a model's template marks turns with.

    Otherwise a document, or a user, could end its own turn and begin one of the system's.
    """

    def __init__(self, tokens: tuple[str, ...]) -> None:
        marks = sorted((token for token in tokens if len(token) > 1), key=len, reverse=True)
        self._marks = re.compile("|".join(map(re.escape, marks))) if marks else None

    def defused(self, request: ChatRequest) -> ChatRequest:
        """The request, with a zero-width space in every mark."""
        marks = self._marks
        if marks is None or not any(marks.search(message.content) for message in request.messages):
            return request
        messages = (
            replace(message, content=marks.sub(_broken, message.content)) for message in request.messages
        )
        return replace(request, messages=tuple(messages))


def _broken(mark: re.Match[str]) -> str:
    return f"{mark[0][0]}\u200b{mark[0][1:]}"


def app(args: LlmArgs) -> Application:
    """The stage as a Serve application."""
    return stage_deployment("llm", LlmStage, n_calls=args.n_workers + args.max_waiting).bind(args)


def check(request: ChatRequest, context_tokens: int) -> None:
    """Refuse what no engine could answer, before it waits for one.

    Raises:
        EmptyInput, InputError, ContextOverflow.
    """
    _check_messages(request.messages, context_tokens)
    if request.max_tokens is not None and request.max_tokens < 1:
        raise InputError("max_tokens must be at least 1.", "Leave it out for the default.")
    if not 0 <= request.temperature <= MAX_TEMPERATURE:
        raise InputError(f"temperature must be from 0 to {MAX_TEMPERATURE:g}.", "0 is the most predictable.")
    if not 0 < request.top_p <= 1:
        raise InputError("top_p must be above 0 and at most 1.", "Leave it out for 1.")
    if len(request.stop) > MAX_STOPS or any(len(stop) > MAX_STOP_CHARACTERS for stop in request.stop):
        raise InputError(
            f"stop may hold {MAX_STOPS} strings of {MAX_STOP_CHARACTERS} characters.",
            "Send fewer or shorter ones.",
        )


def _check_messages(messages: tuple[Message, ...], context_tokens: int) -> None:
    if not messages:
        raise EmptyInput("The conversation has no messages.", "Send at least one message of the user.")
    if unknown := {message.role for message in messages} - ROLES:
        raise InputError(f"Unknown role {min(unknown)!r}.", f"Use one of {', '.join(sorted(ROLES))}.")
    if messages[-1].role != "user":
        raise InputError("The last message must be the user's.", "Put the question last.")
    if not messages[-1].content.strip():
        raise EmptyInput("The last message is empty.", "Write something to answer.")
    n_characters = sum(len(message.content) for message in messages)
    if n_characters > context_tokens * MAX_CHARACTERS_PER_TOKEN:
        raise ContextOverflow(
            f"The conversation has {n_characters:,} characters; the context holds {context_tokens:,} tokens.",
            "Shorten the conversation or its documents.",
        )
    try:
        "".join(message.content for message in messages).encode()
    except UnicodeEncodeError as error:
        raise InputError(
            "The text holds half a character: a lone surrogate.", "Send valid Unicode."
        ) from error


def _with_queue(done: LlmDone, queue_ms: float) -> LlmDone:
    """The engine's timings as the caller of the stage saw them."""
    timings = done.timings
    return replace(
        done,
        timings=replace(
            timings,
            queue_ms=queue_ms,
            first_token_ms=queue_ms + timings.first_token_ms,
            total_ms=queue_ms + timings.total_ms,
        ),
    )
