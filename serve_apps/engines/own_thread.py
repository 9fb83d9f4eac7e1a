"""A thread for a speech library that cannot be used by two at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Event
from typing import TypeVar

from serve_apps.wire import Samples

Result = TypeVar("Result")
Emit = Callable[[Samples], bool]
"""Hands over samples; false when nobody listens any more, and the job should end."""


class OwnThread:
    """Does jobs one after the other, first come first served, all of them on one thread.

    Keep jobs short, a clause each: callers take turns between jobs, and what a job made waits in
    memory until its caller takes it.
    """

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    def call(self, job: Callable[[], Result]) -> Result:
        """Do it there, wait, and return what it returned."""
        return self._thread.submit(job).result()

    def stream(self, job: Callable[[Emit], None]) -> Iterator[Samples]:
        """Yield what the job emits, while it does. Closing the iterator ends the job."""
        emitted: SimpleQueue[Samples | None] = SimpleQueue()
        stop = Event()

        def emit(samples: Samples) -> bool:
            if not stop.is_set():
                emitted.put(samples)
            return not stop.is_set()

        def run() -> None:
            try:
                if not stop.is_set():
                    job(emit)
            finally:
                emitted.put(None)

        future = self._thread.submit(run)
        try:
            while (samples := emitted.get()) is not None:
                yield samples
            future.result()
        finally:
            stop.set()
