"""The processes that a test run has started."""

from __future__ import annotations

import psutil


def running_with(title: str) -> list[psutil.Process]:
    """Those whose command line holds `title`; what has ended and is not reaped yet has none."""
    family = psutil.Process().children(recursive=True)
    alive = [process for process in family if process.status() != psutil.STATUS_ZOMBIE]
    return [process for process in alive if title in "".join(process.cmdline())]
