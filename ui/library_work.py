"""What the page does to collections: adding the sample, and indexing again with the model that runs now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from html import escape
from typing import Any

import gradio as gr

from serve_apps.contracts import Clients
from serve_apps.errors import NotFound, RaydioError
from serve_apps.settings import ASSETS
from serve_apps.wire_knowledge import (
    FileAdded,
    FileFailed,
    FileProgress,
    GivenFile,
    IngestDone,
    IngestEvent,
    IngestRequest,
)
from ui import shell
from ui.library import Library
from ui.stats import progress_line
from ui.user import user_of
from ui.work import Work

__all__ = ["SAMPLES", "LibraryWork"]

SAMPLES = ASSETS / "samples" / "documents"
STEPS = {
    "waiting": "Waiting",
    "reading": "Reading",
    "transcribing": "Transcribing",
    "embedding": "Embedding",
    "storing": "Storing",
}
Shown = tuple[Any, Any]
"""New values of: progress, Stop."""


class LibraryWork:
    """The handlers of "Add the sample" and "Index again"."""

    def __init__(self, clients: Clients, library: Library) -> None:
        self._clients = clients
        self._library = library
        self._work = Work()

    async def add_sample(self, request: gr.Request) -> AsyncGenerator[Shown, None]:
        """Ingest the documents that come with Raydio."""
        async with aclosing(self._told(request, self._sample(user_of(request)))) as updates:
            async for update in updates:
                yield update

    async def index_again(self, ids: list[str] | None, request: gr.Request) -> AsyncGenerator[Shown, None]:
        """Embed the chosen collections that another model embedded."""
        async with aclosing(self._told(request, self._reindex(user_of(request), ids or []))) as updates:
            async for update in updates:
                yield update

    async def stop(self, request: gr.Request) -> None:
        """What was acknowledged stays; what is under way leaves nothing."""
        self._work.stop(request)

    async def _told(
        self, request: gr.Request, events: AsyncIterator[IngestEvent]
    ) -> AsyncGenerator[Shown, None]:
        work, done = self._work.of(request, events), ""
        yield progress_line("Starting"), gr.update(visible=True)
        with shell.shown():
            try:
                async with aclosing(work) as steps:
                    async for batch in steps:
                        done = next((report(e) for e in batch if isinstance(e, IngestDone)), done)
                        yield progress(batch[-1]) if batch else gr.skip(), gr.skip()
            except RaydioError:
                yield "", gr.update(visible=False)
                raise
        yield done or note("Stopped. What was done before stays."), gr.update(visible=False)

    async def _sample(self, user: str) -> AsyncGenerator[IngestEvent, None]:
        own = [found for found in await self._clients.knowledge.collections(user) if found.owner == user]
        if not own:
            raise NotFound("There is no collection of yours.", "Reload the page.")
        files = tuple(await asyncio.to_thread(_samples))
        asked = IngestRequest(user=user, collection_id=own[0].id, files=files)
        async with aclosing(self._clients.ingest.stream_ingest(asked)) as events:
            async for event in events:
                yield event

    async def _reindex(self, user: str, ids: Sequence[str]) -> AsyncGenerator[IngestEvent, None]:
        for collection in (await self._library.contents(user, ids)).outdated():
            async with aclosing(self._clients.ingest.stream_reindex(user, collection.id)) as events:
                async for event in events:
                    yield event


def progress(event: IngestEvent) -> Any:
    """One event as a progress line."""
    match event:
        case FileProgress(name=name, step=step, done=done, index=index, n_files=n_files):
            return progress_line(f"{STEPS[step]} {name}", (index + done) / max(1, n_files))
        case FileAdded(name=name):
            return progress_line(f"Added {name}")
        case _:
            return gr.skip()


def report(done: IngestDone) -> str:
    """The end, with what failed."""
    failed = "".join(f"<li>{_failure(failure)}</li>" for failure in done.failed)
    facts = [f"{done.n_passages:,} passages in {done.duration_s:.1f} s"]
    if done.n_failed:
        facts.append(f"{done.n_failed} failed")
    return note(f"Done: {', '.join(facts)}.") + (f"<ul>{failed}</ul>" if failed else "")


def note(text: str) -> str:
    """A line where the progress was."""
    return f'<p class="ray-quiet" role="status">{text}</p>'


def _failure(failed: FileFailed) -> str:
    return f'<b dir="auto">{escape(failed.name)}</b>: {escape(failed.message)}'


def _samples() -> list[GivenFile]:
    files = sorted(path for path in SAMPLES.glob("*") if path.is_file() and path.suffix != ".py")
    return [GivenFile(name=path.name, data=path.read_bytes()) for path in files]
