"""The processes of one run: found, remembered across a crash, and stopped for certain.

Ray and HAProxy leave processes behind when their parent is killed, and one of those on the port is
enough to spoil the next start. They are remembered by pid and creation time, so that a reused pid is
never taken for ours.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterable

import psutil

Footprint = tuple[int, float]
"""A process that cannot be mistaken: its pid, and when it was created (seconds since the epoch)."""

_PR_SET_CHILD_SUBREAPER = 36


def footprint(pid: int) -> Footprint | None:
    """The footprint of a running process, or None if there is none."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else (pid, process.create_time())
    except psutil.Error:
        return None


def is_alive(print_: Footprint | None) -> bool:
    """Whether that very process still runs."""
    return print_ is not None and footprint(print_[0]) == tuple(print_)


def family(leader_pid: int) -> set[Footprint]:
    """Every other process below `leader_pid`, or in the session that it leads or led."""
    found: set[Footprint] = set()
    with contextlib.suppress(psutil.Error):
        children = psutil.Process(leader_pid).children(recursive=True)
        found |= {(child.pid, child.create_time()) for child in children if child.is_running()}
    for pid in psutil.pids():
        if pid != leader_pid and _session_of(pid) == leader_pid and (print_ := footprint(pid)):
            found.add(print_)
    return found


def stop(footprints: Iterable[Footprint], grace_s: float = 0.0) -> list[int]:
    """End processes: politely first if there is a grace period, then for certain.

    Returns:
        The pids that still run, which is none unless the kernel holds them.
    """
    living = [psutil.Process(pid) for pid, created in footprints if is_alive((pid, created))]
    if grace_s and living:
        _signal(living, "terminate")
        _, living = psutil.wait_procs(living, timeout=grace_s)
    _signal(living, "kill")
    _, left = psutil.wait_procs(living, timeout=3.0)
    return [process.pid for process in left if process.status() != psutil.STATUS_ZOMBIE]


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent dies (Linux), so that `family` still finds them."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1


def _signal(processes: Iterable[psutil.Process], how: str) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            getattr(process, how)()
