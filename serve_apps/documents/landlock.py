"""Linux's Landlock: a process gives up every file but those of some folders, for good.

Source: https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""The same on every architecture."""
_PATH_BENEATH = 1
_READ_FILE, _READ_FOLDER = 1 << 2, 1 << 3
_EVERYTHING = (1 << 13) - 1
"""All that the first version knows: reading, writing, running, making and removing."""
_PR_SET_NO_NEW_PRIVS = 38


def read_only_below(folders: Iterable[str]) -> bool:
    """Leave this process the right to read below these folders, and no other right to open files.

    Files that are open stay so. False, and nothing is given up, where the kernel has no Landlock.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    handled = struct.pack("Q", _EVERYTHING)
    rules = libc.syscall(_CREATE_RULESET, handled, ctypes.c_size_t(len(handled)), 0)
    if rules < 0:
        return False
    try:
        for folder in folders:
            _allow(libc, rules, folder)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return not libc.syscall(_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, folder: str) -> None:
    with contextlib.suppress(OSError):  # folders on the path that are not there, or are archives
        descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            rule = struct.pack("=Qi", _READ_FILE | _READ_FOLDER, descriptor)
            libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, rule, 0)
        finally:
            os.close(descriptor)
