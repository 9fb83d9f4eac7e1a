"""The parent's side of reading: a fresh process for each file, bounded, and killed with its caller.

A fresh process is a fork of a few milliseconds (`forks`) and owes nothing to the file before. What it answers
is counted as it comes, so that this process's memory is bounded whatever the other does.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator
from typing import Any

import orjson

from serve_apps.documents import forks
from serve_apps.errors import DocumentTooLarge, DocumentUnreadable, NotFound, RaydioError, SetupError

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
    fork = await forks.start(descriptor)
    limits = {"timeout_s": timeout_s, "memory_bytes": memory_bytes, "descriptor": forks.DESCRIPTOR}
    sending = asyncio.create_task(_send(fork.writer, orjson.dumps(request | limits) + b"\n", data))
    try:
        async with asyncio.timeout(timeout_s):
            async for line in _lines(fork.reader, most_bytes):
                yield line
            code = await fork.wait()
    except TimeoutError:
        raise _too_slow(timeout_s) from None
    finally:
        sending.cancel()
        await fork.end()
    if code:
        raise _death(code, timeout_s)


def failure(facts: dict[str, str]) -> RaydioError:
    """The error that a reader answered with."""
    kinds: tuple[type[RaydioError], ...] = (DocumentTooLarge, NotFound, SetupError)
    known = {kind.code: kind for kind in kinds}
    return known.get(facts["code"], DocumentUnreadable)(facts["message"], facts["hint"])


async def _send(writer: asyncio.StreamWriter, request: bytes, data: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        writer.write(request)
        await writer.drain()
        writer.write(data)
        await writer.drain()
        writer.write_eof()


async def _lines(reader: asyncio.StreamReader, most_bytes: int) -> AsyncGenerator[bytes, None]:
    """Lines of any length; the last one need not end."""
    parts: list[bytes] = []
    n_bytes = 0
    while chunk := await reader.read(_READ_BYTES):
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
