"""Memory that is given back to the machine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from serve_apps.memory import give_back

N_BLOCKS, BLOCK_BYTES = 100_000, 1_000


def resident_mb() -> float:
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * 4096 / 1e6


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is Linux's")
def test_what_was_freed_below_something_kept_goes_back() -> None:
    blocks = [bytes(BLOCK_BYTES) for _ in range(N_BLOCKS)]
    kept = blocks[::50]  # nothing at the heap's end is free, so that free() itself gives nothing back
    del blocks
    before_mb = resident_mb()
    give_back()
    assert before_mb - resident_mb() > 0.5 * N_BLOCKS * BLOCK_BYTES / 1e6
    assert len(kept) == N_BLOCKS // 50
