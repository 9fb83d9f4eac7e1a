"""Engines in a process of their own, called directly: a line on its stdin, numbers on its stdout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from benchmarks.systems import ROOT


class EngineProcess:
    """A running `benchmarks.servers` module that says a line when it is ready."""

    def __init__(self, running: subprocess.Popen[str]) -> None:
        self._running = running
        self._line()

    def ask(self, line: str) -> float:
        """What it measures."""
        return float(self._answer(line))

    def values(self, line: str) -> list[float]:
        """Several of them, which it writes as JSON."""
        return [float(value) for value in json.loads(self._answer(line))]

    def _answer(self, line: str) -> str:
        assert self._running.stdin is not None
        self._running.stdin.write(f"{line}\n")
        self._running.stdin.flush()
        return self._line()

    def _line(self) -> str:
        assert self._running.stdout is not None
        line = self._running.stdout.readline()
        if not line:
            raise ConnectionError("the engine's process ended")
        return line


@contextmanager
def engine_process(
    module: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[EngineProcess]:
    """The module's process, loaded, with more in its environment; it ends with the block."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdin is not None
        try:
            yield EngineProcess(running)
        finally:
            running.stdin.close()
