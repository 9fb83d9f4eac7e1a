"""The embeddings stage over a deterministic engine: batching, fairness, cancel, limits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from serve_apps.args import EmbeddingsArgs
from serve_apps.embeddings import STUCK_S, EmbeddingsStage
from serve_apps.errors import EmptyInput, InputError, StageBusy, StageFailed, TextTooLong
from serve_apps.wire import Vectors
from tests.fake_engines.embeddings import HashedEmbeddings


class GatedEmbeddings(HashedEmbeddings):
    """Stops before each batch until `gate` lets it through; `seen` has the texts of each batch."""

    def __init__(self, args: EmbeddingsArgs) -> None:
        super().__init__(args)
        self.gate = threading.Semaphore(0)
        self.entered = threading.Semaphore(0)
        self.seen: list[list[str]] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.seen.append(list(texts))
        self.entered.release()
        assert self.gate.acquire(timeout=20)
        return super().embed(texts)


class BrokenEmbeddings(HashedEmbeddings):
    """Fails on the text `poison`."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        if "poison" in texts:
            raise RuntimeError("out of memory")
        return super().embed(texts)


def make(engine: type[HashedEmbeddings], **args: Any) -> tuple[EmbeddingsStage, Any]:
    stage = EmbeddingsStage(EmbeddingsArgs(**{"batch_texts": 4, **args}), engine)
    return stage, stage._engine


@pytest.fixture
def gated() -> Iterator[tuple[EmbeddingsStage, GatedEmbeddings]]:
    stage, engine = make(GatedEmbeddings)
    yield stage, engine
    engine.gate.release(1000)


async def entered(engine: GatedEmbeddings) -> None:
    """Wait until the engine stands before the next batch."""
    assert await asyncio.to_thread(engine.entered.acquire, timeout=20)


async def until_waiting(stage: EmbeddingsStage, n_calls: int) -> None:
    async with asyncio.timeout(20):
        while (await stage.describe()).n_waiting != n_calls:  # noqa: ASYNC110 -- no event to wait on
            await asyncio.sleep(0)


async def test_vectors_come_back_in_the_order_of_the_texts() -> None:
    stage, engine = make(HashedEmbeddings, batch_texts=3)
    texts = ["a much longer text than the others", "b", "", "two words", "b", "c d e f g"]
    vectors = await stage.embed(texts)
    assert vectors.dtype == np.float32
    assert vectors.shape == (6, engine.dimensions)
    assert np.array_equal(vectors, HashedEmbeddings(EmbeddingsArgs()).embed(texts))
    assert max(engine.n_texts_of_calls) == 3


async def test_a_lone_caller_does_not_wait_for_company() -> None:
    stage, engine = make(HashedEmbeddings, batch_wait_ms=1e6)
    for _ in range(3):
        await stage.embed(["alone"])
    assert engine.n_texts_of_calls == [1, 1, 1]


async def test_callers_are_batched_together(gated: tuple[EmbeddingsStage, GatedEmbeddings]) -> None:
    stage, engine = gated
    first = asyncio.create_task(stage.embed(["first"]))
    await entered(engine)
    others = [asyncio.create_task(stage.embed([f"text {i}"])) for i in range(4)]
    await until_waiting(stage, 4)
    engine.gate.release(2)
    await asyncio.gather(first, *others)
    assert engine.seen == [["first"], ["text 0", "text 1", "text 2", "text 3"]]


async def test_callers_in_company_wait_for_each_other() -> None:
    stage, engine = make(GatedEmbeddings, batch_wait_ms=1e6)
    first = asyncio.create_task(stage.embed(["first"]))
    await entered(engine)
    pair = [asyncio.create_task(stage.embed([text])) for text in ("b", "c")]
    await until_waiting(stage, 2)
    engine.gate.release(2)
    await asyncio.gather(first, *pair)
    # The last batch was shared, so the next caller waits; its batch leaves when it is full.
    waiting = [asyncio.create_task(stage.embed([text])) for text in "defg"]
    engine.gate.release()
    await asyncio.gather(*waiting)
    assert engine.seen[-1] == ["d", "e", "f", "g"]


async def test_a_query_overtakes_a_long_call(gated: tuple[EmbeddingsStage, GatedEmbeddings]) -> None:
    stage, engine = gated
    ingest = asyncio.create_task(stage.embed([f"passage {i:02}" for i in range(40)]))
    await entered(engine)
    query = asyncio.create_task(stage.embed(["query"]))
    await until_waiting(stage, 2)
    engine.gate.release(2)
    await query
    assert engine.seen[1] == ["query"]
    assert not ingest.done()
    engine.gate.release(20)
    assert (await ingest).shape[0] == 40


async def test_many_queries_do_not_starve_a_long_call(gated: tuple[EmbeddingsStage, GatedEmbeddings]) -> None:
    stage, engine = gated
    first = asyncio.create_task(stage.embed(["first"]))
    await entered(engine)
    ingest = asyncio.create_task(stage.embed([f"passage {i}" for i in range(8)]))
    queries = [asyncio.create_task(stage.embed([f"query {i}"])) for i in range(12)]
    await until_waiting(stage, 13)
    engine.gate.release(100)
    await asyncio.gather(first, ingest, *queries)
    kinds = [batch[0].split()[0] for batch in engine.seen]
    assert kinds == ["first", "passage", "query", "passage", "query", "query"]


async def test_two_long_calls_take_turns(gated: tuple[EmbeddingsStage, GatedEmbeddings]) -> None:
    stage, engine = gated
    calls = [asyncio.create_task(stage.embed([f"{name} {i}" for i in range(8)])) for name in "ab"]
    await until_waiting(stage, 2)
    engine.gate.release(100)
    await asyncio.gather(*calls)
    assert [batch[0][0] for batch in engine.seen] == ["a", "b", "a", "b"]


async def test_long_texts_make_small_batches() -> None:
    stage, engine = make(HashedEmbeddings, batch_texts=64)
    await stage.embed(["word " * 2000] * 20)
    assert engine.n_texts_of_calls == [8, 8, 4]


async def test_a_cancelled_call_leaves_the_queue(gated: tuple[EmbeddingsStage, GatedEmbeddings]) -> None:
    stage, engine = gated
    ingest = asyncio.create_task(stage.embed([f"passage {i}" for i in range(4000)]))
    await entered(engine)
    ingest.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ingest
    assert (await stage.describe()).n_waiting == 0
    engine.gate.release(2)
    await stage.embed(["next"])
    assert [len(batch) for batch in engine.seen] == [4, 1]


async def test_a_failing_batch_fails_its_callers_and_nobody_else() -> None:
    stage, _ = make(BrokenEmbeddings)
    with pytest.raises(StageFailed, match="RuntimeError") as caught:
        await stage.embed(["poison"] * 40)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert (await stage.embed(["fine"])).shape == (1, 64)
    report = await stage.describe()
    assert (report.n_requests, report.n_failures, report.n_running, report.n_waiting) == (2, 1, 0, 0)


async def test_limits() -> None:
    stage, _ = make(HashedEmbeddings, max_texts=3)
    with pytest.raises(EmptyInput):
        await stage.embed([])
    with pytest.raises(TextTooLong, match="4 texts"):
        await stage.embed(["a"] * 4)
    with pytest.raises(InputError, match="one string"):
        await stage.embed("not a list")


async def test_a_full_queue_sheds() -> None:
    stage, engine = make(GatedEmbeddings, max_waiting=1)
    running = asyncio.create_task(stage.embed(["running"]))
    await entered(engine)
    waiting = asyncio.create_task(stage.embed(["waiting"]))
    await until_waiting(stage, 1)
    with pytest.raises(StageBusy) as caught:
        await stage.embed(["one too many"])
    assert caught.value.retry_after_s is not None
    assert caught.value.retry_after_s >= 1
    engine.gate.release(2)
    await asyncio.gather(running, waiting)


async def test_a_hanging_engine_is_unhealthy(gated: tuple[EmbeddingsStage, GatedEmbeddings]) -> None:
    stage, engine = gated
    await stage.check_health()
    call = asyncio.create_task(stage.embed(["text"]))
    await entered(engine)
    await stage.check_health()
    assert stage._batch_started_s is not None
    stage._batch_started_s -= STUCK_S + 1
    with pytest.raises(StageFailed, match="hangs"):
        await stage.check_health()
    engine.gate.release()
    await call
    await stage.check_health()
