"""The processes that read documents for this one."""

from __future__ import annotations

import psutil


def templates() -> list[psutil.Process]:
    """What readers are forked from: one, once there was anything to read."""
    return psutil.Process().children()


def readers() -> list[psutil.Process]:
    """Those that have a file now."""
    return [child for template in templates() for child in template.children()]
