"""Work of a tab: Stop as an event inside the handler, and newer work in the place of older."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import gradio as gr
import pytest

from tests.test_layering import ROOT
from ui.work import Work

TAB, OTHER_TAB = gr.Request(session_hash="a"), gr.Request(session_hash="b")


class Endless:
    """Counts as fast as it is let, and says how it ended."""

    def __init__(self) -> None:
        self.ended = False

    async def steps(self) -> AsyncGenerator[int, None]:
        try:
            for n in range(1_000_000):
                yield n
                await asyncio.sleep(0.001)
        finally:
            self.ended = True


async def test_stop_ends_the_steps_and_says_so_last() -> None:
    work, endless = Work(), Endless()
    batches = work.of(TAB, endless.steps(), at_stop=[-1])
    assert await anext(batches) == [0]
    work.stop(OTHER_TAB)
    assert await anext(batches)
    work.stop(TAB)
    left = [batch async for batch in batches]
    assert left[-1] == [-1]
    assert endless.ended


async def test_it_can_be_stopped_before_its_first_step() -> None:
    """A page shows Stop first: what is pressed then counts."""
    work, endless = Work(), Endless()
    batches = work.of(TAB, endless.steps(), at_stop=[-1])
    work.stop(TAB)
    assert [step async for batch in batches for step in batch][-1] == -1
    assert endless.ended


async def test_of_two_that_have_not_begun_the_newer_counts() -> None:
    work, newer = Work(), Endless()
    first, second = work.of(TAB, Endless().steps()), work.of(TAB, newer.steps())
    assert await anext(second)
    assert [batch async for batch in first] == []
    assert not newer.ended
    await second.aclose()
    assert newer.ended


async def test_what_ended_by_itself_was_not_stopped() -> None:
    async def two() -> AsyncGenerator[int, None]:
        yield 1
        yield 2

    assert [step async for batch in Work().of(TAB, two(), at_stop=[-1]) for step in batch] == [1, 2]


async def test_newer_work_silences_the_older() -> None:
    work, older, newer = Work(), Endless(), Endless()
    first = work.of(TAB, older.steps(), at_stop=[-1])
    await anext(first)
    second = work.of(TAB, newer.steps())
    await anext(second)
    assert [batch async for batch in first] == []
    assert older.ended
    assert not newer.ended
    work.stop(TAB)
    async for _ in second:
        pass
    assert newer.ended


async def test_a_failure_is_the_callers() -> None:
    async def broken() -> AsyncGenerator[int, None]:
        yield 1
        raise ValueError("it broke")

    with pytest.raises(ValueError, match="broke"):
        async for _ in Work().of(TAB, broken()):
            pass


def test_no_page_uses_the_cancelling_of_gradio() -> None:
    """What the cancelling handler shows gets lost now and then: docs/decisions/0008."""
    assert not [path.name for path in (ROOT / "ui").rglob("*.py") if "cancels=" in path.read_text()]
