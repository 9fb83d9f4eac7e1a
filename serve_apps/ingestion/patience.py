"""Waiting for stages that are down or busy, and calls that must not be left half done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from serve_apps.errors import StageBusy, StageTimeout, StageUnavailable

T = TypeVar("T")

GRACE_S = 5.0
"""How long a cancel waits for a call that must not be left half done."""
_SHORTEST_WAIT_S, _LONGEST_WAIT_S = 0.2, 10.0


async def patiently(call: Callable[[], Awaitable[T]], patience_s: float) -> T:
    """Make an idempotent call, again and again while its stage is down or busy, for `patience_s` at most.

    Raises:
        StageUnavailable, StageBusy, StageTimeout: it still was, then.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return await call()
        except (StageUnavailable, StageBusy, StageTimeout) as error:
            wait_s = min(max(error.retry_after_s or 1.0, _SHORTEST_WAIT_S), _LONGEST_WAIT_S)
            if time.monotonic() + wait_s > deadline:
                raise
            await asyncio.sleep(wait_s)


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Await `work`; a cancel lets it come to its end first, for GRACE_S at most."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=GRACE_S)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # seen: nobody is left to be told
        raise
