"""Streams at the pace of a screen: the first item at once, later ones in batches, a pulse in silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import TypeVar

Item = TypeVar("Item")
FRAME_S = 1 / 30
"""Between batches: shorter costs a redraw nobody sees, longer looks like stutter."""
ACKNOWLEDGE_S = 0.05
"""The first pulse, unless the first item is quicker: soon enough to look immediate, too late to delay it."""
PULSE_S = 1.0
"""Gradio notices a closed tab only when a handler yields, so a handler must not be silent for longer."""


def _never(_item: object) -> bool:
    return False


async def batches(
    items: AsyncIterator[Item], stop: asyncio.Event | None = None, quiet: Callable[[Item], bool] = _never
) -> AsyncGenerator[list[Item], None]:
    """Yield what came since the last yield; an empty list when nothing did for a while.

    An item that is `quiet` is no reason to yield, or to wait afterwards: it travels with the next one.
    Closing it, cancelling its consumer, or setting `stop` cancels `items`; it ends when that has ended.

    Raises:
        Whatever `items` raises, after everything that came before it was yielded.
    """
    arrived: list[Item] = []
    news = asyncio.Event()
    pump = asyncio.create_task(_pump(items, arrived, news, quiet))
    pump.add_done_callback(lambda _: news.set())
    stopper = asyncio.create_task(_cancel_at(stop or asyncio.Event(), pump))
    patience_s = ACKNOWLEDGE_S
    try:
        while arrived or not pump.done():
            await _wait(news, patience_s)
            batch, arrived[:] = arrived[:], []
            yield batch
            patience_s = PULSE_S
            # The first item after a pulse has waited enough.
            if not all(map(quiet, batch)) and not pump.done():
                await asyncio.sleep(FRAME_S)
        if not pump.cancelled():
            pump.result()
    finally:
        stopper.cancel()
        await _end(pump)


async def _pump(
    items: AsyncIterator[Item], arrived: list[Item], news: asyncio.Event, quiet: Callable[[Item], bool]
) -> None:
    async for item in items:
        arrived.append(item)
        if not quiet(item):
            news.set()


async def _cancel_at(stop: asyncio.Event, pump: asyncio.Task[None]) -> None:
    await stop.wait()
    pump.cancel()


async def _wait(news: asyncio.Event, patience_s: float) -> None:
    try:
        async with asyncio.timeout(patience_s):
            await news.wait()
    except TimeoutError:
        return
    news.clear()


async def _end(pump: asyncio.Task[None]) -> None:
    pump.cancel()
    await asyncio.wait({pump})
    if not pump.cancelled():
        pump.exception()  # seen here, so that asyncio does not report it as lost
