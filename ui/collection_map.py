"""The map's handler: a straight look at once, then a better layout from a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import gradio as gr

from serve_apps.contracts import Clients
from serve_apps.errors import EmptyInput, InputError, RaydioError
from serve_apps.wire_knowledge import Collection
from ui import shell
from ui.collection_points import Points, load
from ui.library import chosen
from ui.map_layout import FEWEST, Layout, Layouts
from ui.stats import progress_line
from ui.user import user_of
from ui.work import Work

__all__ = ["CollectionMap"]

Shown = tuple[Any, Any, Any]
"""New values of: progress, Stop, map."""


@dataclass(frozen=True, slots=True)
class Step:
    """Where the work is, and the map if there is a new one."""

    label: str
    share: float
    value: dict[str, Any] | None = None


DONE = Step("", 1)
STOPPED = '<p class="ray-quiet" role="status">Stopped. The map stays as it is.</p>'


class CollectionMap:
    """Draws collections; one for all tabs, so that a layout is made once."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._layouts = Layouts()
        self._work = Work()

    async def draw(self, ids: list[str], request: gr.Request) -> AsyncGenerator[Shown, None]:
        """Load the passages, show them, refine them."""
        steps = self._work.of(request, self._steps(user_of(request), ids or []))
        last = Step("Loading the passages", 0)
        yield progress_line(last.label, last.share), gr.update(interactive=True), gr.skip()
        with shell.shown():
            try:
                async with aclosing(steps):
                    async for batch in steps:
                        last = batch[-1] if batch else last
                        yield _progress(last), gr.skip(), _newest(batch)
            except RaydioError:
                yield "", gr.update(interactive=False), gr.skip()
                raise
        yield "" if last == DONE else STOPPED, gr.update(interactive=False), gr.skip()

    async def stop(self, request: gr.Request) -> None:
        """Leave the map as it is."""
        self._work.stop(request)

    async def _steps(self, user: str, ids: Sequence[str]) -> AsyncGenerator[Step, None]:
        collections = _alike(await chosen(self._clients.knowledge, user, ids))
        points: Points | None = None
        async with aclosing(load(self._clients.knowledge, user, collections)) as loaded:
            async for share in loaded:
                if isinstance(share, Points):
                    points = share
                else:
                    yield Step("Loading the passages", share)
        if points is None or not points.texts:
            raise EmptyInput("There are no passages to show.", "Add documents first.")
        straight = await asyncio.to_thread(points.straight)
        yield Step("Refining the map", 0, straight)
        if len(points.texts) >= FEWEST:
            async with aclosing(self._layouts.of(points.vectors)) as shares:
                async for step in shares:
                    if isinstance(step, Layout):
                        refined = await asyncio.to_thread(points.refined, step)
                        yield Step("Refining the map", 1, {**straight, **refined})
                    else:
                        yield Step("Refining the map", step)
        yield DONE


def _alike(collections: Sequence[Collection]) -> list[Collection]:
    """Collections with passages, all of one embedding model: others have no distance from each other."""
    filled = [collection for collection in collections if collection.n_passages]
    if len({(collection.embedding_model, collection.dimensions) for collection in filled}) > 1:
        raise InputError(
            "These collections were embedded by different models.", "Choose those of one model for a map."
        )
    return filled


def _progress(step: Step) -> str:
    return progress_line(step.label, step.share) if step.label else ""


def _newest(batch: Sequence[Step]) -> Any:
    values = [step.value for step in batch if step.value is not None]
    return values[-1] if values else gr.skip()
