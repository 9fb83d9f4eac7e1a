"""Short calls travel together, and nobody hears of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from serve_apps import shared_calls
from serve_apps.errors import StageBusy, StageFailed
from serve_apps.shared_calls import FEW_TEXTS, N_UNDER_WAY, SharedCalls
from serve_apps.wire import Vectors


class Stage:
    """Gives each text a vector of its length, when it is let."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.n_cancelled = 0
        self.error: Exception | None = None
        self.let = asyncio.Event()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.calls.append(list(texts))
        try:
            await self.let.wait()
        except asyncio.CancelledError:
            self.n_cancelled += 1
            raise
        if self.error:
            raise self.error
        return np.array([[len(text)] for text in texts], np.float32)


async def started(shared: SharedCalls, *texts: str) -> list[asyncio.Task[Vectors]]:
    tasks = [asyncio.create_task(shared.embed([text])) for text in texts]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_those_that_come_while_the_room_is_taken_go_together() -> None:
    stage = Stage()
    tasks = await started(SharedCalls("embeddings", stage.embed), "a", "bb", "ccc", "dddd")
    assert stage.calls == [["a"], ["bb"]]
    stage.let.set()
    assert [float(vectors[0, 0]) for vectors in await asyncio.gather(*tasks)] == [1, 2, 3, 4]
    assert stage.calls[2:] == [["ccc", "dddd"]]


async def test_many_texts_have_a_call_of_their_own() -> None:
    stage = Stage()
    stage.let.set()
    shared = SharedCalls("embeddings", stage.embed)
    vectors = await shared.embed(["x"] * (FEW_TEXTS + 1))
    assert vectors.shape == (FEW_TEXTS + 1, 1)


async def test_a_caller_that_leaves_takes_nothing_from_the_others() -> None:
    stage = Stage()
    first, second, left, stays = await started(
        SharedCalls("embeddings", stage.embed), "a", "bb", "ccc", "dddd"
    )
    left.cancel()
    await asyncio.wait([left])
    stage.let.set()
    await asyncio.gather(first, second)
    assert (await stays).tolist() == [[4]]
    assert stage.calls[2:] == [["dddd"]]


async def test_a_call_that_everybody_left_is_cancelled_and_makes_room() -> None:
    stage = Stage()
    first, second, third = await started(SharedCalls("embeddings", stage.embed), "a", "bb", "ccc")
    first.cancel()
    await asyncio.wait([first])
    while len(stage.calls) <= N_UNDER_WAY:  # noqa: ASYNC110 -- it is the loop's next turns
        await asyncio.sleep(0)
    assert stage.n_cancelled == 1
    stage.let.set()
    assert [(await task).tolist() for task in (second, third)] == [[[2]], [[3]]]


async def test_an_error_is_for_everybody_who_was_in_the_call() -> None:
    stage = Stage()
    stage.error = StageFailed("embeddings", "It broke.")
    tasks = await started(SharedCalls("embeddings", stage.embed), "a", "bb", "ccc", "dddd")
    stage.let.set()
    for task in tasks:
        with pytest.raises(StageFailed):
            await task


async def test_too_many_are_shed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_calls, "MOST_WAITING", 1)
    stage = Stage()
    shared = SharedCalls("embeddings", stage.embed)
    tasks = await started(shared, "a", "bb", "ccc")
    with pytest.raises(StageBusy):
        await shared.embed(["dddd"])
    stage.let.set()
    await asyncio.gather(*tasks)
