from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from serve_apps.admission import LONGEST_RETRY_S, SHORTEST_RETRY_S, FairQueue
from serve_apps.errors import StageBusy


def queue(n_slots: int = 1, max_waiting: int = 10, max_wait_s: float = 30) -> FairQueue:
    return FairQueue("llm", n_slots=n_slots, max_waiting=max_waiting, max_wait_s=max_wait_s)


async def turns_of_the_loop(n: int = 10) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


class Crowd:
    """Callers that take a slot, note their name, and hold it until told to go."""

    def __init__(self, fair: FairQueue) -> None:
        self.served: list[str] = []
        self._fair = fair
        self._go = asyncio.Semaphore(0)

    def add(self, name: str) -> asyncio.Task[None]:
        return asyncio.create_task(self._hold(name))

    async def next(self) -> None:
        self._go.release()
        await turns_of_the_loop()

    async def _hold(self, name: str) -> None:
        async with self._fair.slot(name.rstrip("0123456789")):
            self.served.append(name)
            await self._go.acquire()


async def test_a_free_slot_is_taken_without_a_turn_of_the_loop() -> None:
    fair = queue()
    entering = fair.slot("a").__aenter__()
    with pytest.raises(StopIteration):
        entering.send(None)
    assert fair.n_running == 1


async def test_waiting_callers_take_turns_and_each_is_served_in_order() -> None:
    crowd = Crowd(fair := queue())
    tasks = [crowd.add(name) for name in ("a1", "a2", "a3", "a4", "b1", "b2", "c1")]
    await turns_of_the_loop()
    assert (fair.n_running, fair.n_waiting) == (1, 6)
    for _ in tasks:
        await crowd.next()
    assert crowd.served == ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]
    assert (fair.n_running, fair.n_waiting) == (0, 0)


async def test_a_full_queue_sheds_with_a_retry_time() -> None:
    crowd = Crowd(fair := queue(max_waiting=1))
    tasks = [crowd.add("a"), crowd.add("b")]
    await turns_of_the_loop()
    with pytest.raises(StageBusy) as shed:
        await fair.slot("c").__aenter__()
    assert shed.value.retry_after_s == SHORTEST_RETRY_S
    assert shed.value.stage == "llm"
    for _ in tasks:
        await crowd.next()


async def test_no_waiting_at_all_can_be_configured() -> None:
    fair = queue(max_waiting=0)
    async with fair.slot("a"):
        with pytest.raises(StageBusy):
            await fair.slot("b").__aenter__()


async def test_a_long_wait_ends_in_busy_and_leaves_the_queue() -> None:
    fair = queue(max_wait_s=0.01)
    async with fair.slot("a"):
        with pytest.raises(StageBusy, match=r"within 0\.01 s"):
            await fair.slot("b").__aenter__()
        assert fair.n_waiting == 0
    async with fair.slot("c"):
        assert fair.n_running == 1


async def test_a_cancelled_wait_leaves_the_queue() -> None:
    crowd = Crowd(fair := queue())
    crowd.add("a")
    leaving = crowd.add("b")
    staying = crowd.add("c")
    await turns_of_the_loop()
    leaving.cancel()
    await asyncio.wait([leaving])
    assert fair.n_waiting == 1
    await crowd.next()
    assert crowd.served == ["a", "c"]
    await crowd.next()
    await staying
    assert fair.n_running == 0


async def test_a_slot_handed_to_a_caller_cancelled_in_that_moment_is_not_lost() -> None:
    fair = queue()
    holding = fair.slot("a")
    await holding.__aenter__()
    crowd = Crowd(fair)
    cancelled, waiting = crowd.add("b"), crowd.add("c")
    await turns_of_the_loop()
    await holding.__aexit__(None, None, None)
    cancelled.cancel()
    await turns_of_the_loop()
    assert crowd.served == ["c"]
    await crowd.next()
    await waiting
    assert fair.n_running == 0


async def test_an_error_inside_the_slot_frees_it() -> None:
    fair = queue()

    async def failing() -> None:
        async with fair.slot("a"):
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await failing()
    assert fair.n_running == 0


@pytest.mark.parametrize(
    ("durations_s", "n_waiting", "expected_s"),
    [([], 0, SHORTEST_RETRY_S), ([4.0, 8.0], 0, 3.0), ([4.0, 8.0], 3, 12.0), ([1e6], 5, LONGEST_RETRY_S)],
    ids=["nothing known", "two slots", "three before", "capped"],
)
async def test_retry_time_follows_recent_durations(
    durations_s: list[float], n_waiting: int, expected_s: float
) -> None:
    fair = queue(n_slots=2)
    fair._durations_s.extend(durations_s)
    crowd = Crowd(fair)
    tasks = [crowd.add("x") for _ in range(2 + n_waiting)]
    await turns_of_the_loop()
    assert fair.retry_after_s() == expected_s
    await _drain(crowd.next, tasks)


async def _drain(step: Callable[[], Awaitable[None]], tasks: list[asyncio.Task[None]]) -> None:
    for _ in tasks:
        await step()
    await asyncio.gather(*tasks)
