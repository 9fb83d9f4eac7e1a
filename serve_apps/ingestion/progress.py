"""What an ingest has got to, told at a bearable rate: results at once, progress a few times a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace

from serve_apps.wire_knowledge import (
    FileAdded,
    FileFailed,
    FileProgress,
    FileSkipped,
    IngestDone,
    IngestEvent,
    IngestStep,
)

INTERVAL_S = 0.2
"""Between two looks at the progress; at most two files are told of at each."""
FIRST_S = 0.02

Result = FileAdded | FileSkipped | FileFailed


class Board:
    """Written by those who work, read by the one who is told. Writing costs nothing and never waits.

    Args:
        n_files: how many are known of at the start.
    """

    def __init__(self, n_files: int) -> None:
        self.n_files = n_files
        self._results: asyncio.Queue[Result | None] = asyncio.Queue()
        self._active: dict[int, FileProgress] = {}
        self._latest: int | None = None
        self._started = time.monotonic()
        self._failed: list[FileFailed] = []
        self._n_added = self._n_skipped = self.n_passages = 0

    def at(self, index: int, name: str, step: IngestStep, done: float = 0.0) -> None:
        """A file is at `step`, of which `done` (0 to 1) is behind it."""
        self._active[index] = FileProgress(
            name=name, step=step, done=min(1.0, done), index=index, n_files=self.n_files
        )
        self._latest = index

    def share(self, index: int, name: str, step: IngestStep) -> Callable[[float], None]:
        """A function that notes the share of a step."""
        return lambda done: self.at(index, name, step, done)

    def tell(self, index: int, result: Result) -> None:
        """A file has ended."""
        self._active.pop(index, None)
        match result:
            case FileAdded():
                self._n_added += 1
                self.n_passages += result.document.n_passages
            case FileSkipped():
                self._n_skipped += 1
            case FileFailed():
                self._failed.append(result)
        self._results.put_nowait(result)

    def forget(self, index: int) -> None:
        """Say no more of a file: what is in it is told instead."""
        self._active.pop(index, None)

    def end(self) -> None:
        """Nothing more will be told."""
        self._results.put_nowait(None)

    def report(self) -> IngestDone:
        """What came of it all."""
        return IngestDone(
            n_added=self._n_added,
            n_skipped=self._n_skipped,
            n_failed=len(self._failed),
            n_passages=self.n_passages,
            duration_s=time.monotonic() - self._started,
            failed=tuple(self._failed),
        )

    async def events(self) -> AsyncGenerator[IngestEvent, None]:
        """Results and progress, until `end`."""
        due = time.monotonic() + FIRST_S
        while True:
            try:
                async with asyncio.timeout(max(0.0, due - time.monotonic())):
                    result = await self._results.get()
            except TimeoutError:
                for progress in self._worth_telling():
                    yield progress
                due = time.monotonic() + INTERVAL_S
                continue
            if result is None:
                return
            yield result

    def _worth_telling(self) -> list[FileProgress]:
        """The oldest file under way, and the one that something happened to last."""
        told = {min(self._active, default=None), self._latest}
        return [
            replace(self._active[index], n_files=self.n_files)
            for index in sorted(index for index in told if index is not None)
            if index in self._active
        ]
