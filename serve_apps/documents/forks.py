"""Fresh processes for files within milliseconds, forked from a template that is started when needed."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field

from serve_apps.documents.template import DESCRIPTOR, NUMBER
from serve_apps.errors import StageUnavailable

__all__ = ["DESCRIPTOR", "Fork", "start"]


@dataclass(slots=True)
class Fork:
    """A process that reads one file; its standard streams are one socket."""

    pid: int
    reader: asyncio.StreamReader
    """What it writes."""
    writer: asyncio.StreamWriter
    """What it reads."""
    _told: socket.socket
    _code: int | None = field(default=None, init=False)

    async def wait(self) -> int:
        """Its exit code, or a signal's number below zero, when it has ended."""
        if self._code is None:
            self._code = await _number(self._told)
        if self._code is None:  # its template died; it may not have begun to die with it
            self._kill()
            self._code = -signal.SIGKILL
        return self._code

    async def end(self) -> None:
        """Kill it if it runs, and wait until it is gone."""
        if self._code is None:
            self._kill()
            await asyncio.shield(self.wait())
        self._told.close()
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


class _Template:
    """The process of `template`, and the socket that asks it for forks."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-s", "-m", "serve_apps.documents.template", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=_environment(),
                cwd="/",
                start_new_session=True,
            )

    def fork(self, descriptors: list[int]) -> bool:
        """Ask for a process with these descriptors; False when the template has ended."""
        try:
            socket.send_fds(self._control, [b"f"], descriptors)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """End it, with every process that it forked."""
        self._control.close()
        self._process.wait()


_lock = threading.Lock()
_template: _Template | None = None


async def start(descriptor: int | None) -> Fork:
    """A new process; an open file that is given becomes its DESCRIPTOR.

    Raises:
        StageUnavailable: this machine starts no processes.
    """
    for renew in (False, True):
        starting = asyncio.create_task(_forked(_the_template(renew=renew), descriptor))
        try:
            fork = await asyncio.shield(starting)
        except asyncio.CancelledError:
            if (fork := await starting) is not None:
                await fork.end()
            raise
        if fork is not None:
            return fork
    raise StageUnavailable("ingest", "No process can be started to read the file.", "Try again.", 5.0)


async def _forked(template: _Template, descriptor: int | None) -> Fork | None:
    ours, theirs = socket.socketpair()
    told, telling = socket.socketpair()
    told.settimeout(0)
    with theirs, telling:
        file = [] if descriptor is None else [descriptor]
        asked = template.fork([theirs.fileno(), telling.fileno(), *file])
    pid = await _number(told) if asked else None
    if pid is None:
        ours.close()
        told.close()
        return None
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    return Fork(pid, reader, writer, told)


def _the_template(*, renew: bool) -> _Template:
    global _template  # noqa: PLW0603 -- one for the process, started when it is needed
    with _lock:
        if _template is not None and renew:
            _template.close()
        if _template is None or renew:
            _template = _Template()
        return _template


@atexit.register
def _close() -> None:
    if _template is not None:
        _template.close()


async def _number(from_: socket.socket) -> int | None:
    """What the template tells; None when it has gone."""
    data = await asyncio.get_running_loop().sock_recv(from_, NUMBER.size)
    return NUMBER.unpack(data)[0] if len(data) == NUMBER.size else None


def _environment() -> dict[str, str]:
    """What Python needs to find the same modules; no secrets of ours."""
    return {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
