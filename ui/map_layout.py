"""A collection's layout, made by a short-lived process (`ui.map_worker`) and remembered by content."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import sys
import tempfile
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from serve_apps.errors import StageFailed
from serve_apps.settings import ASSETS
from serve_apps.wire import Vectors

__all__ = ["FEWEST", "Layout", "Layouts"]

FEWEST = 8
"""Points that are worth more than a straight look."""
KEPT = 16
"""Layouts that one page remembers: 100 KB each."""
N_AT_ONCE = 1
"""Processes at the same time: each keeps a core busy for seconds."""
LIMITS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True, slots=True)
class Layout:
    """Where every point is, and its cluster."""

    xy: NDArray[np.float32]
    """Shape (n, 2), within [-1, 1]."""
    labels: NDArray[np.int64]
    """Shape (n,); -1 between clusters."""


class Layouts:
    """Layouts of all users' collections: the same vectors are laid out once."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, Layout] = OrderedDict()
        self._turn = asyncio.Semaphore(N_AT_ONCE)

    async def of(self, vectors: Vectors) -> AsyncGenerator[float | Layout, None]:
        """Yield shares of the work (0 to 1), then the layout. Closing it kills the process.

        Raises:
            StageFailed: the process died.
        """
        name = hashlib.blake2b(vectors.tobytes(), digest_size=16).digest()
        if name not in self._kept:
            async with aclosing(self._missing(name, vectors)) as shares:
                async for share in shares:
                    yield share
        self._kept.move_to_end(name)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        yield self._kept[name]

    async def _missing(self, name: bytes, vectors: Vectors) -> AsyncGenerator[float, None]:
        async with self._turn:
            if name in self._kept:
                return  # somebody else waited for the same one
            async with aclosing(_made(vectors)) as steps:
                async for step in steps:
                    if isinstance(step, Layout):
                        self._kept[name] = step
                    else:
                        yield step


async def _made(vectors: Vectors) -> AsyncGenerator[float | Layout, None]:
    folder = Path(tempfile.mkdtemp(prefix="raydio-map-"))
    try:
        await asyncio.to_thread(np.save, folder / "vectors.npy", vectors)
        async with aclosing(_work(folder)) as shares:
            async for share in shares:
                yield share
        with np.load(folder / "layout.npz") as made:
            yield Layout(made["xy"], made["labels"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _work(folder: Path) -> AsyncGenerator[float, None]:
    """Run the worker; yield what it says."""
    command = (sys.executable, "-m", "ui.map_worker", str(folder))
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=ASSETS.parent,
        env={**os.environ, **LIMITS},
    )
    try:
        while process.stdout and (line := await process.stdout.readline()):
            yield float(line)
        if await process.wait():
            raise StageFailed("embeddings", "The map could not be refined.", "Try again.")
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
