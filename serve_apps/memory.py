"""Memory that is free inside a process, given back to the machine.

The C library keeps what was freed for the next time, which after an ingest is a hundred megabytes for nobody.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache


def give_back() -> None:
    """Return freed memory to the system, which takes milliseconds; does nothing without glibc."""
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
