"""Who is next: a few slots, a bounded queue, and turns taken between callers."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from serve_apps.errors import StageBusy

N_REMEMBERED = 32
"""Recent requests whose duration predicts the next one's."""
SHORTEST_RETRY_S = 1.0
LONGEST_RETRY_S = 120.0


class FairQueue:
    """Slots of one replica. Callers that wait take turns; within one caller, first come first served.

    Not thread-safe: use it on the event loop. A free slot is taken without yielding to the loop.

    Args:
        stage: the stage's word, for errors.
        n_slots: requests served at once.
        max_waiting: requests that may wait; 0 to shed as soon as every slot is taken.
        max_wait_s: longest wait.
    """

    def __init__(self, stage: str, *, n_slots: int, max_waiting: int, max_wait_s: float) -> None:
        self._stage = stage
        self._n_slots = n_slots
        self._max_waiting = max_waiting
        self._max_wait_s = max_wait_s
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """By caller, in the order of their turns: the next caller is the first key."""
        self._durations_s: deque[float] = deque(maxlen=N_REMEMBERED)
        self.n_running = 0

    @property
    def n_waiting(self) -> int:
        """Requests without a slot yet."""
        return sum(len(line) for line in self._waiting.values())

    @asynccontextmanager
    async def slot(self, caller: str) -> AsyncIterator[None]:
        """Hold a slot, waiting for one if need be. Cancelling the wait leaves the queue.

        Raises:
            StageBusy: the queue is full, or the wait took `max_wait_s`.
        """
        if self.n_running < self._n_slots:
            self.n_running += 1
        else:
            await self._wait(caller)
        started = time.perf_counter()
        try:
            yield
        finally:
            self._durations_s.append(time.perf_counter() - started)
            self._release()

    def retry_after_s(self) -> float:
        """When a slot is likely to be free for one more caller, from recent requests."""
        typical_s = sum(self._durations_s) / len(self._durations_s) if self._durations_s else 0.0
        estimate_s = typical_s * (self.n_waiting + 1) / self._n_slots
        return min(max(estimate_s, SHORTEST_RETRY_S), LONGEST_RETRY_S)

    async def _wait(self, caller: str) -> None:
        if self.n_waiting >= self._max_waiting:
            raise self._busy(f"The {self._stage} stage is busy: {self.n_waiting} requests are waiting.")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(turn)
        try:
            async with asyncio.timeout(self._max_wait_s):
                await turn
        except TimeoutError as error:
            self._leave(caller, turn)
            raise self._busy(
                f"The {self._stage} stage is busy: no worker became free within {self._max_wait_s:g} s."
            ) from error
        except asyncio.CancelledError:
            self._leave(caller, turn)
            raise

    def _busy(self, message: str) -> StageBusy:
        retry_after_s = self.retry_after_s()
        return StageBusy(self._stage, message, f"Try again in {retry_after_s:.0f} s.", retry_after_s)

    def _leave(self, caller: str, turn: asyncio.Future[None]) -> None:
        """Give up a place in the queue, or the slot that was handed over in this very moment."""
        if turn.done() and not turn.cancelled():
            self._release()
            return
        line = self._waiting[caller]
        line.remove(turn)
        if not line:
            del self._waiting[caller]

    def _release(self) -> None:
        """Hand the slot to the next caller in turn, who goes to the end of the round."""
        if not self._waiting:
            self.n_running -= 1
            return
        caller = next(iter(self._waiting))
        line = self._waiting.pop(caller)
        turn = line.popleft()
        if line:
            self._waiting[caller] = line
        turn.set_result(None)
