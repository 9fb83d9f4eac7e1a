"""Long work of a page's tab: progress at least once a second, and Stop as an event inside the handler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import TypeVar

import gradio as gr

from ui.pacing import batches

__all__ = ["Work"]

Step = TypeVar("Step")


class Work:
    """What one kind of button has under way, by tab."""

    def __init__(self) -> None:
        self._stops: dict[str, asyncio.Event] = {}

    async def of(
        self, request: gr.Request, steps: AsyncIterator[Step], at_stop: Sequence[Step] = ()
    ) -> AsyncGenerator[list[Step], None]:
        """Yield what came, an empty list in silence; ends early when the tab stops it, with `at_stop`.

        Older work of the same tab is stopped first and yields nothing more: it would undo what is shown.
        """
        tab = request.session_hash or ""
        self.stop(request)
        stop = self._stops[tab] = asyncio.Event()
        try:
            async with aclosing(batches(steps, stop)) as batched:
                async for batch in batched:
                    if self._stops.get(tab) is not stop:
                        return
                    yield batch
            if at_stop and stop.is_set() and self._stops.get(tab) is stop:
                yield list(at_stop)
        finally:
            if self._stops.get(tab) is stop:
                del self._stops[tab]

    def stop(self, request: gr.Request) -> None:
        """End what this tab has under way. In the loop: Gradio runs plain functions in threads."""
        if stop := self._stops.get(request.session_hash or ""):
            stop.set()
