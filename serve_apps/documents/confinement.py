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

_MOST_OPEN_FILES = 64
_NICER = 10

_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_FORBIDDEN = {
    # socket socketpair connect bind fork vfork execve ptrace execveat clone3, and (with flags) none else
    "x86_64": (41, 53, 42, 49, 57, 58, 59, 101, 322, 435, 82, 83, 84, 87, 264, 263, 258, 316),
    "aarch64": (198, 199, 203, 200, 221, 117, 281, 435, 34, 35, 38, 276),
}
"""Calls by number: sockets, new processes and programs, and renaming, removing or making files and folders.

Source: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h of Linux.
"""
_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001
"""SECCOMP_RET_ALLOW; SECCOMP_RET_ERRNO with EPERM."""


def confine(memory_bytes: int, cpu_s: float) -> None:
    """Give up for good what reading a file does not need.

    Args:
        memory_bytes: of address space; over it, allocations fail.
        cpu_s: after so much work the process is killed.
    """
    with contextlib.suppress(OSError):
        os.nice(_NICER)
    _limit(memory_bytes, math.ceil(cpu_s))
    if sys.platform == "linux":
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
    program = _program(_ARCHITECTURES[machine], _FORBIDDEN[machine])
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    # Kernels without seccomp answer with an error: the limits above hold all the same.
    libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0)


def _program(architecture: int, forbidden: tuple[int, ...]) -> bytes:
    """A filter in the kernel's packet language: these calls are refused, and all of another architecture."""
    n_calls = len(forbidden)
    steps = [
        (_LOAD, 0, 0, 4),  # offsetof(struct seccomp_data, arch)
        (_JUMP_EQUAL, 0, n_calls + 2, architecture),
        (_LOAD, 0, 0, 0),  # offsetof(struct seccomp_data, nr)
        *((_JUMP_EQUAL, n_calls - index, 0, call) for index, call in enumerate(forbidden)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in steps)
