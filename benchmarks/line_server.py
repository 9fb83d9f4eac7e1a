"""The other side of `engine_process`: a line on stdin is answered with a line of JSON on stdout."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable

Measurement = Callable[..., Awaitable[float | list[float]]]


async def serve(measurements: dict[str, Measurement]) -> None:
    """Say that everything is loaded, then answer lines `NAME ARGUMENT…` until stdin ends."""
    _write("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        name, *arguments = line.split()
        _write(json.dumps(await measurements[name](*arguments)))


def keep_stdout() -> None:
    """Let nothing but `serve` write where its answers go: libraries that print do so on stderr."""
    global _answers  # noqa: PLW0603 -- one stdout a process
    _answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)


_answers = sys.stdout


def _write(line: str) -> None:
    _answers.write(f"{line}\n")
    _answers.flush()
