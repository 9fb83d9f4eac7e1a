"""What a stage has done since its replica started: the numbers behind `describe()`."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from serve_apps.wire import ModelCard, StageReport


@dataclass(slots=True)
class Running:
    """One request under way; call `first_output` when its first result leaves."""

    started: float
    first_output_ms: float | None = None

    def first_output(self) -> None:
        """Mark the first result, once."""
        if self.first_output_ms is None:
            self.first_output_ms = (time.perf_counter() - self.started) * 1000


class StageMeter:
    """Counts requests of one replica. Not thread-safe: use it on the event loop."""

    def __init__(self, card: ModelCard) -> None:
        self._card = card
        self.n_requests = 0
        self.n_failures = 0
        self.n_running = 0
        self.n_waiting = 0
        self._last_first_output_ms: float | None = None
        self._last_duration_ms: float | None = None

    @contextmanager
    def request(self) -> Iterator[Running]:
        """Count one request; an exception other than a cancel counts as a failure."""
        running = Running(time.perf_counter())
        self.n_requests += 1
        self.n_running += 1
        try:
            yield running
        except Exception:
            self.n_failures += 1
            raise
        finally:
            self.n_running -= 1
            if running.first_output_ms is not None:
                self._last_first_output_ms = running.first_output_ms
                self._last_duration_ms = (time.perf_counter() - running.started) * 1000

    def report(self) -> StageReport:
        """The numbers now."""
        return StageReport(
            card=self._card,
            node=socket.gethostname(),
            pid=os.getpid(),
            n_requests=self.n_requests,
            n_failures=self.n_failures,
            n_running=self.n_running,
            n_waiting=self.n_waiting,
            last_first_output_ms=self._last_first_output_ms,
            last_duration_ms=self._last_duration_ms,
        )
