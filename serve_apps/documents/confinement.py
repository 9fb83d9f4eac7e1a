"""What a process that reads strangers' files may not do: grow, run on, write, start programs, connect.

Limits of the kernel (Linux in full; elsewhere as far as `resource` goes), set by the process itself
before it looks at the file.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import platform
import signal
import struct
import sys

from serve_apps.documents import landlock

_MOST_OPEN_FILES = 64
_NICER = 10

_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2

_LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share", "/lib", "/lib64")
"""What may still be read, beside Python's own folders: shared libraries and fonts."""

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_FORBIDDEN = {
    # sockets; processes, programs, signals, other processes' memory; files and folders made, moved, removed;
    # and what has been used to break out: io_uring, bpf, userfaultfd, perf, namespaces, mounts.
    "x86_64": (
        *(41, 42, 49, 53),
        *(56, 57, 58, 59, 62, 101, 200, 234, 310, 311, 322, 424, 435),
        *(76, 77, 82, 83, 84, 85, 86, 87, 88, 90, 133, 258, 259, 260, 263, 264, 265, 266, 268, 316, 437),
        *(165, 272, 298, 308, 321, 323, 425),
    ),
    "aarch64": (
        *(198, 199, 200, 203),
        *(117, 129, 130, 131, 220, 221, 270, 271, 281, 424, 435),
        *(33, 34, 35, 36, 37, 38, 45, 46, 52, 53, 54, 276, 437),
        *(40, 97, 241, 268, 280, 282, 425),
    ),
}
"""Calls by number. Source: Linux, arch/x86/entry/syscalls/syscall_64.tbl and asm-generic/unistd.h."""
_OPENING = {"x86_64": ((2, 24), (257, 32)), "aarch64": ((56, 32),)}
"""open and openat, and where their flags are in `struct seccomp_data`: only reading is allowed."""
_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC if sys.platform == "linux" else 0
_X32 = 0x40000000
"""Calls of the x32 interface have this bit, and other numbers."""
_LOAD, _JUMP_EQUAL, _JUMP_FROM, _JUMP_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001
"""SECCOMP_RET_ALLOW; SECCOMP_RET_ERRNO with EPERM."""


def confine(memory_bytes: int, cpu_s: float) -> None:
    """Give up for good what reading a file does not need. What is imported later cannot be compiled to disk.

    Args:
        memory_bytes: of address space; over it, allocations fail.
        cpu_s: after so much work the process is killed.
    """
    with contextlib.suppress(OSError):
        os.nice(_NICER)
    _limit(memory_bytes, math.ceil(cpu_s))
    if sys.platform == "linux":
        landlock.read_only_below({*sys.path, sys.prefix, sys.base_prefix, *_LIBRARIES} - {"", "."})
        _die_with_parent_and_refuse_calls()


def _limit(memory_bytes: int, cpu_s: int) -> None:
    import resource  # noqa: PLC0415  # not on Windows

    limits = {
        "RLIMIT_AS": memory_bytes,
        "RLIMIT_CPU": cpu_s,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_CORE": 0,
        "RLIMIT_NOFILE": _MOST_OPEN_FILES,
        "RLIMIT_NPROC": 0,
    }
    for name, most in limits.items():
        # macOS has no limit of address space that can be set.
        with contextlib.suppress(AttributeError, ValueError, OSError):
            resource.setrlimit(getattr(resource, name), (most, most))


def _die_with_parent_and_refuse_calls() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    machine = platform.machine()
    if machine not in _FORBIDDEN or libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return
    program = _program(_ARCHITECTURES[machine], _FORBIDDEN[machine], _OPENING[machine])
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    # Kernels without seccomp answer with an error: the limits above hold all the same.
    libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0)


def _program(architecture: int, forbidden: tuple[int, ...], opening: tuple[tuple[int, int], ...]) -> bytes:
    """A filter in the kernel's packet language: these calls are refused, and all of another architecture.

    A step is (what, steps to skip if so, steps to skip if not, with what); data are (number, architecture,
    …, arguments).
    """
    refuse = (_RETURN, 0, 0, _REFUSE)
    steps = [(_LOAD, 0, 0, 4), (_JUMP_EQUAL, 1, 0, architecture), refuse, (_LOAD, 0, 0, 0)]
    steps += [(_JUMP_FROM, 0, 1, _X32), refuse]
    for call in forbidden:
        steps += [(_JUMP_EQUAL, 0, 1, call), refuse]
    for call, flags_at in opening:
        steps += [(_JUMP_EQUAL, 0, 4, call), (_LOAD, 0, 0, flags_at), (_JUMP_BITS, 0, 1, _TO_WRITE), refuse]
        steps += [(_RETURN, 0, 0, _ALLOW)]
    steps += [(_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("HBBI", *step) for step in steps)
