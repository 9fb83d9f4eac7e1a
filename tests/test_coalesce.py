from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from serve_apps.coalesce import coalesce
from serve_apps.wire import LlmDelta, LlmDone, LlmEvent, LlmTimings, LlmUsage

FOREVER_S = 3600.0
DONE = LlmDone(
    finish_reason="stop",
    usage=LlmUsage(prompt_tokens=1, completion_tokens=1),
    timings=LlmTimings(queue_ms=0, first_token_ms=0, total_ms=0, tokens_per_s=0),
)


def delta(text: str, n_tokens: int = 1) -> LlmDelta:
    return LlmDelta(text=text, n_tokens=n_tokens)


class Source:
    """Yields what it is given; remembers whether it was closed."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[LlmEvent | Exception | None] = asyncio.Queue()
        self.closed = False

    def put(self, *events: LlmEvent | Exception | None) -> Source:
        for event in events:
            self.events.put_nowait(event)
        return self

    async def stream(self) -> AsyncGenerator[LlmEvent, None]:
        try:
            while (event := await self.events.get()) is not None:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self.closed = True


async def collect(stream: AsyncGenerator[LlmEvent, None]) -> list[LlmEvent]:
    return [event async for event in stream]


async def test_the_first_token_travels_alone_and_the_rest_together() -> None:
    source = Source().put(*map(delta, "abcd"), DONE, None)
    assert await collect(coalesce(source.stream(), FOREVER_S)) == [delta("a"), delta("bcd", 3), DONE]
    assert source.closed


async def test_a_window_of_zero_passes_everything_on() -> None:
    source = Source().put(*map(delta, "abc"), DONE, None)
    assert await collect(coalesce(source.stream(), 0)) == [*map(delta, "abc"), DONE]


async def test_the_first_token_takes_no_extra_turn_of_the_loop() -> None:
    async def ready() -> AsyncGenerator[LlmEvent, None]:
        yield delta("a")

    events = coalesce(ready(), FOREVER_S)
    with pytest.raises(StopIteration) as first:
        events.__anext__().send(None)
    assert first.value.value == delta("a")
    await events.aclose()


async def test_a_token_waits_no_longer_than_the_window() -> None:
    source = Source().put(delta("a"), delta("b"))
    async with aclosing(coalesce(source.stream(), 0.01)) as events:
        assert [await anext(events), await anext(events)] == [delta("a"), delta("b")]


async def test_the_end_does_not_wait_for_the_window() -> None:
    source = Source().put(delta("a"), delta("b"), None)
    async with asyncio.timeout(5):
        assert await collect(coalesce(source.stream(), FOREVER_S)) == [delta("a"), delta("b")]


@pytest.mark.parametrize("events", [[], [DONE]], ids=["nothing", "only the end"])
async def test_answers_without_text(events: list[LlmEvent]) -> None:
    assert await collect(coalesce(Source().put(*events, None).stream(), FOREVER_S)) == events


async def test_an_error_comes_after_the_text_before_it() -> None:
    source = Source().put(delta("a"), delta("b"), ValueError("broken"))
    events = coalesce(source.stream(), FOREVER_S)
    assert [await anext(events), await anext(events)] == [delta("a"), delta("b")]
    with pytest.raises(ValueError, match="broken"):
        await anext(events)


@pytest.mark.parametrize("n_read", [1, 2], ids=["after the first", "between bundles"])
async def test_closing_closes_the_source(n_read: int) -> None:
    source = Source().put(delta("a"), delta("b"))
    events = coalesce(source.stream(), 0.001)
    for _ in range(n_read):
        await anext(events)
    await events.aclose()
    assert source.closed


@pytest.mark.parametrize("n_ready", [0, 1, 2], ids=["before the first", "waiting", "collecting"])
async def test_cancelling_the_consumer_closes_the_source(n_ready: int) -> None:
    source = Source().put(*map(delta, "ab"[:n_ready]))
    consumer = asyncio.create_task(collect(coalesce(source.stream(), FOREVER_S)))
    for _ in range(10):  # turns of the event loop: it reads everything, and waits for more
        await asyncio.sleep(0)
    assert source.events.empty()
    consumer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consumer
    assert source.closed
