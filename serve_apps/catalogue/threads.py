"""The knowledge stage's threads: one that changes the store, some beside it, and a limit to what waits."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import ParamSpec, TypeVar

from sqlalchemy.exc import DataError, DBAPIError

from serve_apps.errors import InputError, RaydioError, StageBusy, StageFailed, StageUnavailable
from serve_apps.metrics import StageMeter

logger = logging.getLogger(__name__)

N_READERS = 4
RETRY_S = 1.0
"""What callers are told to wait for while the database is away."""
STUCK_S = 60.0
"""A read that takes this long has hung."""

P = ParamSpec("P")
Result = TypeVar("Result")


class KnowledgeThreads:
    """Runs blocking work beside the event loop.

    Args:
        meter: counts it.
        max_waiting: calls that may wait; more are shed.
        prepare: brings the store in step with the catalogue; called once, before the store is used.
    """

    def __init__(self, meter: StageMeter, max_waiting: int, prepare: Callable[[], None]) -> None:
        self._meter = meter
        self._max_running = max_waiting + N_READERS
        self._prepare = prepare
        self._is_prepared = False
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="knowledge-writer")
        self._readers = ThreadPoolExecutor(N_READERS, thread_name_prefix="knowledge-reader")
        self._read_since_s: dict[object, float] = {}

    async def beside(self, call: Callable[P, Result], *args: P.args, **options: P.kwargs) -> Result:
        """Beside other work: searches, and whatever concerns the catalogue alone.

        Raises:
            StageBusy: too many calls wait already.
        """
        with self._counted():
            return await _on(self._readers, partial(self._watched, partial(call, *args, **options)))

    async def in_turn(self, call: Callable[P, Result], *args: P.args, **options: P.kwargs) -> Result:
        """One after the other: what changes the store. A caller that goes away does not stop it half done.

        Raises:
            StageBusy: too many calls wait already.
        """
        with self._counted():
            return await _on(self._writer, partial(self._after_preparing, partial(call, *args, **options)))

    def soon(self, chore: Callable[[], object]) -> None:
        """In turn, for nobody in particular; left for later while the store is away."""
        if self._is_prepared:
            self._writer.submit(_done, chore)

    async def prepared(self) -> None:
        """Return when the store is in step with the catalogue: at once, unless it was away."""
        if not self._is_prepared:
            await _on(self._writer, self.prepare)

    def prepare(self) -> None:
        """The same, for those who may wait where they are."""
        if not self._is_prepared:
            self._prepare()
            self._is_prepared = True

    @property
    def is_stuck(self) -> bool:
        """Whether a read has been running for a minute."""
        oldest_s = min(self._read_since_s.copy().values(), default=time.monotonic())
        return time.monotonic() - oldest_s > STUCK_S

    def close(self) -> None:
        """Finish what was begun."""
        self._writer.shutdown()
        self._readers.shutdown()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        if self._meter.n_running >= self._max_running:
            raise StageBusy(
                "knowledge",
                f"{self._meter.n_running} calls wait for the knowledge stage already.",
                "Try again in a moment.",
                1.0,
            )
        with self._meter.request() as running:
            self._meter.n_waiting = max(0, self._meter.n_running - N_READERS)
            yield
            running.first_output()

    def _after_preparing(self, call: Callable[[], Result]) -> Result:
        self.prepare()
        return call()

    def _watched(self, call: Callable[[], Result]) -> Result:
        self._read_since_s[call] = time.monotonic()
        try:
            return call()
        finally:
            del self._read_since_s[call]


def _done(chore: Callable[[], object]) -> None:
    try:
        chore()
    except (RaydioError, DBAPIError) as error:
        logger.warning("a chore was left for later: %s", error)


async def _on(threads: ThreadPoolExecutor, call: Callable[[], Result]) -> Result:
    try:
        return await asyncio.get_running_loop().run_in_executor(threads, call)
    except RaydioError:
        raise
    except (DataError, UnicodeEncodeError) as error:
        raise InputError(
            "A value is none that a database can hold.", "Look for odd characters in it."
        ) from error
    except DBAPIError as error:
        raise StageUnavailable(
            "knowledge",
            f"The catalogue's database does not answer: {type(error.orig).__name__}.",
            "Look whether the database at DATABASE_URL runs, and whether its disk is full.",
            RETRY_S,
        ) from error
    except Exception as error:  # whatever the libraries raise, callers get one type
        raise StageFailed(
            "knowledge", f"The knowledge stage failed: {type(error).__name__}.", "The replica's log has more."
        ) from error
