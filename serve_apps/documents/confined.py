"""The parent's side of reading: a fresh process for each file, bounded, and killed with its caller.

A fresh process costs 50 ms and owes nothing to the file before. What it answers is counted as it comes, so
that this process's memory is bounded whatever the other does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncGenerator
from typing import Any

import orjson

from serve_apps.errors import DocumentTooLarge, DocumentUnreadable, NotFound, RaydioError

_READ_BYTES = 2**16
_HOSTILE = "It may be damaged, or made to do harm."


async def answers(
    request: dict[str, Any],
    *,
    timeout_s: float,
    memory_bytes: int,
    most_bytes: int,
    descriptor: int | None = None,
    data: bytes = b"",
) -> AsyncGenerator[bytes, None]:
    """Run a confined reader and yield the lines that it answers.

    Closing the iterator, or cancelling the task, kills the process at once.

    Args:
        request: what `reader` is to do.
        timeout_s: by the clock, and of computing.
        memory_bytes: address space of the process.
        most_bytes: of its whole answer.
        descriptor: an open file that it inherits.
        data: sent to it behind the request.

    Raises:
        DocumentTooLarge: over one of the limits.
        DocumentUnreadable: the process died of the file.
    """
    request = request | {"timeout_s": timeout_s, "memory_bytes": memory_bytes, "descriptor": descriptor}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-s", "-m", "serve_apps.documents.reader"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        pass_fds=() if descriptor is None else (descriptor,),
        env=_environment(),
        cwd="/",
        start_new_session=True,
    )
    sending = asyncio.create_task(_send(process, orjson.dumps(request) + b"\n", data))
    try:
        async with asyncio.timeout(timeout_s):
            async for line in _lines(process, most_bytes):
                yield line
            await process.wait()
    except TimeoutError:
        raise _too_slow(timeout_s) from None
    finally:
        sending.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(process.wait())
    if process.returncode:
        raise _death(process.returncode, timeout_s)


def failure(facts: dict[str, str]) -> RaydioError:
    """The error that a reader answered with."""
    known: dict[str, type[RaydioError]] = {kind.code: kind for kind in (DocumentTooLarge, NotFound)}
    return known.get(facts["code"], DocumentUnreadable)(facts["message"], facts["hint"])


def _environment() -> dict[str, str]:
    """What Python needs to find the same modules; no secrets of ours."""
    return {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


async def _send(process: asyncio.subprocess.Process, request: bytes, data: bytes) -> None:
    if process.stdin is None:  # pragma: no cover  # it is a pipe
        return
    with contextlib.suppress(ConnectionError):
        process.stdin.write(request)
        await process.stdin.drain()
        process.stdin.write(data)
        await process.stdin.drain()
        process.stdin.close()


async def _lines(process: asyncio.subprocess.Process, most_bytes: int) -> AsyncGenerator[bytes, None]:
    """Lines of any length; the last one need not end."""
    parts: list[bytes] = []
    n_bytes = 0
    while process.stdout is not None and (chunk := await process.stdout.read(_READ_BYTES)):
        n_bytes += len(chunk)
        if n_bytes > most_bytes:
            raise DocumentTooLarge(f"The document's text is over {most_bytes // 2**20} MB.", "Split it.")
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            yield b"".join([*parts, line])
            parts.clear()
        parts.append(rest)
    if last := b"".join(parts):
        yield last


def _too_slow(timeout_s: float) -> DocumentTooLarge:
    return DocumentTooLarge(
        f"Reading the file takes longer than {timeout_s:g} s.",
        "Split it, or raise parse_timeout_s in ingest's configuration.",
    )


def _death(code: int, timeout_s: float) -> RaydioError:
    if -code == signal.SIGXCPU:
        return _too_slow(timeout_s)
    if -code == signal.SIGKILL:
        return DocumentTooLarge("Reading the file was stopped for lack of memory or time.", _HOSTILE)
    return DocumentUnreadable("The program that reads such files broke down over it.", _HOSTILE)
