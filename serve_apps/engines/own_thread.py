"""A thread for a speech library that cannot be used by two at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Event
from typing import TypeVar

from serve_apps.wire import Audio

Result = TypeVar("Result")
Emit = Callable[[Audio], bool]
"""Hands over sound; false when nobody listens any more, and the job should end."""


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

    def stream(self, job: Callable[[Emit], None]) -> Iterator[Audio]:
        """Yield what the job emits, while it does. Closing the iterator ends the job."""
        emitted: SimpleQueue[Audio | None] = SimpleQueue()
        stop = Event()

        def emit(audio: Audio) -> bool:
            if not stop.is_set():
                emitted.put(audio)
            return not stop.is_set()

        def run() -> None:
            try:
                if not stop.is_set():
                    job(emit)
            finally:
                emitted.put(None)

        future = self._thread.submit(run)
        try:
            while (audio := emitted.get()) is not None:
                yield audio
            future.result()
        finally:
            stop.set()
