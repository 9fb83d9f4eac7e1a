"""Long work of a page's tab: progress at least once a second, and Stop as an event inside the handler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import TypeVar
from weakref import WeakValueDictionary

import gradio as gr

from ui.pacing import batches

__all__ = ["Work"]

Step = TypeVar("Step")


class Work:
    """What one kind of button has under way, by tab."""

    def __init__(self) -> None:
        self._stops: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()
        """Of what is under way: gone with it, however it ends."""

    def of(
        self, request: gr.Request, steps: AsyncIterator[Step], at_stop: Sequence[Step] = ()
    ) -> AsyncGenerator[list[Step], None]:
        """Yield what came, an empty list in silence; ends early when the tab stops it, with `at_stop`.

        From the call on it can be stopped, and older work of the same tab is: that yields nothing more, which
        would undo what is shown.
        """
        self.stop(request)
        tab = request.session_hash or ""
        stop = self._stops[tab] = asyncio.Event()
        return self._run(tab, stop, steps, at_stop)

    async def _run(
        self, tab: str, stop: asyncio.Event, steps: AsyncIterator[Step], at_stop: Sequence[Step]
    ) -> AsyncGenerator[list[Step], None]:
        async with aclosing(batches(steps, stop)) as batched:
            async for batch in batched:
                if self._stops.get(tab) is not stop:
                    return
                yield batch
        if at_stop and stop.is_set() and self._stops.get(tab) is stop:
            yield list(at_stop)

    def stop(self, request: gr.Request) -> None:
        """End what this tab has under way. In the loop: Gradio runs plain functions in threads."""
        if stop := self._stops.get(request.session_hash or ""):
            stop.set()
