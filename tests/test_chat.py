"""The chat conductor over a scripted model: order of events, failures, deadline, trimming, cancel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary as build

from serve_apps import chat
from serve_apps.args import ConductorArgs
from serve_apps.chat import ChatConductor
from serve_apps.errors import ContextOverflow, RaydioError, StageBusy, StageFailed
from serve_apps.wire import (
    ChatRequest,
    LlmDelta,
    LlmDone,
    LlmEvent,
    LlmTimings,
    LlmUsage,
    Message,
    StageReport,
    TextDelta,
    TurnDone,
    TurnEvent,
    TurnFailed,
    TurnRequest,
)

DONE = LlmDone(
    finish_reason="stop",
    usage=LlmUsage(prompt_tokens=9, completion_tokens=2),
    timings=LlmTimings(queue_ms=0.0, first_token_ms=1, total_ms=2, tokens_per_s=77.0),
)
ANSWER = (LlmDelta(text="Hello ", n_tokens=1), LlmDelta(text="you.", n_tokens=1), DONE)


class ScriptedLlm:
    """Plays `script`: events are yielded, errors raised, None waits for ever.

    Args:
        script: what happens, in order.
        fits: messages that fit its context, the system prompt included.
    """

    def __init__(self, *script: LlmEvent | RaydioError | None, fits: int = 1000) -> None:
        self.script = script
        self.fits = fits
        self.requests: list[ChatRequest] = []
        self.waiting = asyncio.Event()
        self.n_open = 0

    async def describe(self) -> StageReport:
        raise NotImplementedError

    async def stream_chat(self, request: ChatRequest) -> AsyncIterator[LlmEvent]:
        self.requests.append(request)
        self.n_open += 1
        try:
            if len(request.messages) > self.fits:
                raise ContextOverflow("The conversation does not fit.", "Start a new one.")
            for step in self.script:
                if isinstance(step, RaydioError):
                    raise step
                if step is None:
                    self.waiting.set()
                    await asyncio.Event().wait()
                else:
                    yield step
        finally:
            self.n_open -= 1


def said(*texts: str) -> tuple[Message, ...]:
    """A conversation that the user began."""
    roles = ("user", "assistant")
    return tuple(Message(role=roles[i % 2], content=text) for i, text in enumerate(texts))  # type: ignore[arg-type]


async def turn(llm: ScriptedLlm, request: TurnRequest, timeout_s: float = 30) -> list[TurnEvent]:
    conductor = ChatConductor(llm, ConductorArgs(turn_timeout_s=timeout_s))
    return [event async for event in conductor.stream_turn(request)]


async def test_an_answer_is_told_as_it_comes_and_ends_with_its_numbers() -> None:
    llm = ScriptedLlm(*ANSWER)
    *deltas, done = await turn(llm, TurnRequest(messages=said("Hi"), seed=3, caller="anna"))
    assert deltas == [TextDelta(text="Hello "), TextDelta(text="you.")]
    assert isinstance(done, TurnDone)
    assert (done.finish_reason, done.usage, done.tokens_per_s) == ("stop", DONE.usage, 77.0)
    assert [s.name for s in done.waterfall] == ["queue", "first token", "answer"]
    assert done.notes == ()
    (asked,) = llm.requests
    assert (asked.seed, asked.caller, asked.messages[1:]) == (3, "anna", said("Hi"))


async def test_the_waterfall_has_no_gaps_and_ends_with_the_answer() -> None:
    *_, done = await turn(ScriptedLlm(*ANSWER), TurnRequest(messages=said("Hi")))
    assert isinstance(done, TurnDone)
    queue, first, answer = done.waterfall
    assert queue.start_ms + queue.duration_ms == pytest.approx(first.start_ms)
    assert first.start_ms + first.duration_ms == pytest.approx(answer.start_ms)
    assert done.first_token_ms == pytest.approx(answer.start_ms)


@pytest.mark.parametrize(("given", "used"), [("Be rude.", "Be rude."), ("", chat.prompt("chat"))])
async def test_the_system_prompt_comes_first_ours_when_none_is_given(given: str, used: str) -> None:
    llm = ScriptedLlm(*ANSWER)
    await turn(llm, TurnRequest(messages=said("Hi"), system_prompt=given))
    assert llm.requests[0].messages[0] == Message(role="system", content=used)


@pytest.mark.parametrize("messages", [(), said("  \n")], ids=["none", "blank"])
async def test_nothing_to_answer_is_refused_without_the_model(messages: tuple[Message, ...]) -> None:
    llm = ScriptedLlm(*ANSWER)
    (failure,) = await turn(llm, TurnRequest(messages=messages))
    assert isinstance(failure, TurnFailed)
    assert failure.code == "empty_input"
    assert not llm.requests


async def test_a_shed_turn_says_when_to_come_back() -> None:
    llm = ScriptedLlm(StageBusy("llm", "Too many are asking.", "Try again soon.", 2.5))
    assert await turn(llm, TurnRequest(messages=said("Hi"))) == [
        TurnFailed(
            stage="llm", code="stage_busy", message="Too many are asking. Try again soon.", retry_after_s=2.5
        )
    ]


async def test_a_failure_in_mid_answer_keeps_what_was_told() -> None:
    llm = ScriptedLlm(ANSWER[0], StageFailed("llm", "It broke.", "Try again."))
    first, failure = await turn(llm, TurnRequest(messages=said("Hi")))
    assert first == TextDelta(text="Hello ")
    assert isinstance(failure, TurnFailed)
    assert (failure.stage, failure.code) == ("llm", "stage_failed")


async def test_an_answer_without_an_end_is_a_failure() -> None:
    *_, failure = await turn(ScriptedLlm(ANSWER[0]), TurnRequest(messages=said("Hi")))
    assert isinstance(failure, TurnFailed)
    assert failure.code == "stage_failed"


async def test_the_deadline_ends_the_turn_and_the_model() -> None:
    llm = ScriptedLlm(ANSWER[0], None)
    first, failure = await turn(llm, TurnRequest(messages=said("Hi")), timeout_s=0.05)
    assert first == TextDelta(text="Hello ")
    assert isinstance(failure, TurnFailed)
    assert failure.code == "stage_timeout"
    assert llm.n_open == 0


async def test_the_oldest_exchanges_are_left_out_until_the_rest_fits() -> None:
    llm = ScriptedLlm(*ANSWER, fits=6)
    history = said(*(str(i) for i in range(17)))
    *_, done = await turn(llm, TurnRequest(messages=history))
    kept = llm.requests[-1].messages[1:]
    assert kept == history[-len(kept) :]
    assert kept[0].role == "user"
    assert 1 < len(kept) < llm.fits
    assert isinstance(done, TurnDone)
    assert f"the oldest {len(history) - len(kept)} messages were left out" in done.notes[0]
    assert len(llm.requests) <= 5


async def test_one_message_that_is_too_long_alone_fails_after_few_attempts() -> None:
    llm = ScriptedLlm(*ANSWER, fits=1)
    (failure,) = await turn(llm, TurnRequest(messages=said(*(str(i) for i in range(101)))))
    assert isinstance(failure, TurnFailed)
    assert failure.code == "context_length_exceeded"
    assert len(llm.requests) <= 8


async def test_an_overflow_after_the_first_token_is_not_tried_again() -> None:
    llm = ScriptedLlm(ANSWER[0], ContextOverflow("Full."))
    *_, failure = await turn(llm, TurnRequest(messages=said("a", "b", "c")))
    assert isinstance(failure, TurnFailed)
    assert len(llm.requests) == 1


async def test_closing_the_turn_closes_the_model_at_once() -> None:
    llm = ScriptedLlm(ANSWER[0], None)
    conductor = ChatConductor(llm, ConductorArgs())
    async with aclosing(conductor.stream_turn(TurnRequest(messages=said("Hi")))) as events:
        await anext(events)
        assert llm.n_open == 1
    assert llm.n_open == 0


async def test_cancelling_a_caller_that_waits_closes_the_model_at_once() -> None:
    llm = ScriptedLlm(None)
    caller = asyncio.create_task(turn(llm, TurnRequest(messages=said("Hi"))))
    await llm.waiting.wait()
    caller.cancel()
    await asyncio.wait([caller])
    assert caller.cancelled()
    assert llm.n_open == 0


def test_serve_checks_the_arguments_of_the_application() -> None:
    built = build(chat.app, {"turn_timeout_s": 5})
    assert built._bound_deployment.init_args == (ConductorArgs(turn_timeout_s=5),)
    with pytest.raises(ValueError, match="turn_timeout"):
        build(chat.app, {"turn_timeout": 5})
