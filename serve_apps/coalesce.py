"""Tokens that travel together: the first at once, later ones in bundles."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress

from serve_apps.wire import LlmDelta, LlmDone, LlmEvent


async def coalesce(source: AsyncGenerator[LlmEvent, None], window_s: float) -> AsyncGenerator[LlmEvent, None]:
    """Pass the first event on as it comes, then at most one delta every `window_s`.

    A message between replicas costs far more than a token; people read bundles of 30 ms as a stream.
    The first event takes no extra turn of the event loop. Closing or cancelling this closes `source`
    at once, also while it waits for its next token.

    Args:
        source: an engine's answer; closed when this ends, however it ends.
        window_s: the shortest time between two deltas, and the longest that a token waits; 0 passes
            every event on by itself.
    """
    async with aclosing(source):
        async for event in source:
            yield event
            if window_s > 0:
                break
        async with aclosing(_bundles(source, window_s)) as bundles:
            async for event in bundles:
                yield event


async def _bundles(source: AsyncGenerator[LlmEvent, None], window_s: float) -> AsyncGenerator[LlmEvent, None]:
    """The rest of `source`, read by a task of its own so that time passes for all tokens alike."""
    bundle = _Bundle()
    reading = asyncio.create_task(bundle.read(source))
    try:
        while not bundle.ended:
            await bundle.wait(window_s)
            for event in bundle.take():
                yield event
        await reading
    finally:
        reading.cancel()
        await asyncio.wait([reading])


class _Bundle:
    """What has arrived since the last time it was taken."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._n_tokens = 0
        self._done: LlmDone | None = None
        self._sent_at = time.perf_counter()
        self._arrived = asyncio.Event()
        self._complete = asyncio.Event()

    @property
    def ended(self) -> bool:
        """Nothing more will come, and everything was taken."""
        return self._complete.is_set() and not self._arrived.is_set()

    async def read(self, source: AsyncIterator[LlmEvent]) -> None:
        """Collect until `source` ends or fails."""
        try:
            async for event in source:
                self._add(event)
        finally:
            self._complete.set()
            self._arrived.set()

    async def wait(self, window_s: float) -> None:
        """Return when something is there and `window_s` passed since the last time, or at the end."""
        await self._arrived.wait()
        remaining_s = self._sent_at + window_s - time.perf_counter()
        if remaining_s <= 0:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(remaining_s):
                await self._complete.wait()

    def take(self) -> list[LlmEvent]:
        """Everything that arrived: at most one delta, then at most one LlmDone."""
        events: list[LlmEvent] = []
        if self._text:
            events.append(LlmDelta(text="".join(self._text), n_tokens=self._n_tokens))
        if self._done:
            events.append(self._done)
        self._text, self._n_tokens, self._done = [], 0, None
        self._sent_at = time.perf_counter()
        self._arrived.clear()
        return events

    def _add(self, event: LlmEvent) -> None:
        if isinstance(event, LlmDone):
            self._done = event
        else:
            self._text.append(event.text)
            self._n_tokens += event.n_tokens
        self._arrived.set()
