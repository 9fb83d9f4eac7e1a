"""The handlers of the download of collections and of search results."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import gradio as gr

from serve_apps.contracts import Clients
from serve_apps.errors import RaydioError
from ui import shell
from ui.collection_files import RESULT_CHOICES, write_collections, write_results
from ui.library import chosen
from ui.playground_controls import Controls, Values
from ui.search_columns import rankings
from ui.stats import progress_line, size
from ui.user import user_of
from ui.work import Work

__all__ = ["Downloads"]

Shown = tuple[Any, Any, Any]
"""New values of: progress, Stop, file."""
STOPPED = '<p class="ray-quiet" role="status">Stopped. There is no file.</p>'


class Downloads:
    """Writes files batch by batch, with progress."""

    def __init__(self, clients: Clients, controls: Controls) -> None:
        self._clients = clients
        self._controls = controls
        self._work = Work()

    def save(self, choice: gr.Dropdown) -> Callable[..., AsyncGenerator[Shown, None]]:
        """The handler of the button: what is written is `choice`'s value."""

        async def saved(values: Values, request: gr.Request) -> AsyncGenerator[Shown, None]:
            steps = self._work.of(request, self._steps(values, str(values[choice]), user_of(request)))
            path: Path | None = None
            yield progress_line("Writing", 0), gr.update(interactive=True), gr.skip()
            with shell.shown():
                try:
                    async with aclosing(steps) as batches:
                        async for batch in batches:
                            path = next((step for step in batch if isinstance(step, Path)), path)
                            shares = [step for step in batch if isinstance(step, float)]
                            yield _progress(shares), gr.skip(), gr.skip()
                except RaydioError:
                    yield "", gr.update(interactive=False), gr.skip()
                    raise
            if path is None:
                yield STOPPED, gr.update(interactive=False), gr.skip()
                return
            yield _note(path), gr.update(interactive=False), gr.update(value=str(path))

        return saved

    async def stop(self, request: gr.Request) -> None:
        """No file is offered."""
        self._work.stop(request)

    async def _steps(self, values: Values, choice: str, user: str) -> AsyncGenerator[float | Path, None]:
        if choice in RESULT_CHOICES:
            question = self._controls.asked(values, user)
            found = await rankings(self._clients, question)
            yield await asyncio.to_thread(write_results, found, question.query, choice)
            return
        knowledge = self._clients.knowledge
        collections = await chosen(knowledge, user, values[self._controls.collections] or [])
        async with aclosing(write_collections(knowledge, user, collections, choice)) as steps:
            async for step in steps:
                yield step


def _progress(shares: list[float]) -> Any:
    return progress_line("Writing", shares[-1]) if shares else gr.skip()


def _note(path: Path) -> str:
    return f'<p class="ray-quiet" role="status">Written: {path.name}, {size(path.stat().st_size)}.</p>'
