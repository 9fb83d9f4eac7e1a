"""The process that readers are forked from: `python -m serve_apps.documents.template`, started by `forks`.

It has the parsers in memory and never sees a file. Starting Python and importing a parser takes longer than
reading a page of text: a fork takes a few milliseconds, and owes as little to the file before.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import select
import signal
import socket
import struct
import sys

from serve_apps.documents import reader

DESCRIPTOR = 3
"""Where a reader finds its file."""
NUMBER = struct.Struct("<i")
"""How a pid and an exit code are told."""
IDLE_S = 60.0
"""After so long without work the process ends; the next file starts another."""
NICENESS = 10
"""Whoever speaks or writes with a model, and the embedder of what was read, go before reading."""
_PARSERS = ("plain", "code", "tables", "web", "pdf", "word", "slides", "sheets", "book")
"""Imported between requests, so that none waits for all of them."""
_MOST_DESCRIPTORS = 1024


def main() -> None:
    """Fork a reader for each request on the control socket, until it is closed or nothing comes."""
    os.nice(NICENESS)
    control = socket.socket(fileno=int(sys.argv[1]))
    wake = _woken_by_children()
    jobs: dict[int, socket.socket] = {}
    parsers = list(_PARSERS)
    while True:
        ready = select.select([control, wake], [], [], 0 if parsers else IDLE_S)[0]
        if wake in ready:
            wake.recv(_MOST_DESCRIPTORS)
        _reap(jobs)
        if control in ready:
            if not _fork(control, jobs):
                return
        elif not ready and parsers:
            with contextlib.suppress(ImportError):
                importlib.import_module(f"serve_apps.documents.{parsers.pop(0)}")
        elif not ready and not jobs:
            return


def _woken_by_children() -> socket.socket:
    """A socket that can be read when a child has ended."""
    ours, signalled = socket.socketpair()
    ours.settimeout(0)
    signalled.settimeout(0)
    signal.set_wakeup_fd(signalled.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return ours


def _fork(control: socket.socket, jobs: dict[int, socket.socket]) -> bool:
    """Start a reader on the descriptors that came; False when the other side has gone."""
    message, descriptors, *_ = socket.recv_fds(control, 1, 3)
    if not message:
        return False
    data, told, *file = descriptors
    pid = os.fork()
    if not pid:
        _become_reader(data, file)
    for descriptor in (data, *file):
        os.close(descriptor)
    jobs[pid] = socket.socket(fileno=told)
    _tell(jobs[pid], pid)
    return True


def _become_reader(data: int, file: list[int]) -> None:
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(data, 0)
        os.dup2(data, 1)
        for descriptor in file:
            os.dup2(descriptor, DESCRIPTOR)
        os.closerange(DESCRIPTOR + len(file), _MOST_DESCRIPTORS)
        reader.main()
    finally:
        os._exit(1)


def _reap(jobs: dict[int, socket.socket]) -> None:
    while jobs:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with jobs.pop(pid) as job:
            _tell(job, os.waitstatus_to_exitcode(status))


def _tell(job: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # nobody waits for it any more
        job.sendall(NUMBER.pack(number))


if __name__ == "__main__":
    main()
