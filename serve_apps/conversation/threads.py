"""Blocking work on the database, off the event loop: a few threads, a bounded queue, errors translated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from serve_apps.errors import InputError, RaydioError, StageBusy, StageFailed, StageUnavailable

P = ParamSpec("P")
T = TypeVar("T")
N_THREADS = 4
"""SQLite has one writer at a time, and its readers take less than a millisecond."""
MOST_WAITING = 256
"""Calls that may wait for a thread; more are shed."""
RETRY_AFTER_S = 2.0
_CONTENDED = ("database is locked", "database table is locked", "lock timeout", "deadlock detected")
_FULL = ("database or disk is full", "no space left", "disk i/o error", "readonly database")


class DatabaseThreads:
    """Runs functions that speak with the database.

    Args:
        most_waiting: calls that may be under way or wait at once.
    """

    def __init__(self, most_waiting: int = MOST_WAITING) -> None:
        self._most_waiting = most_waiting
        self._n_waiting = 0
        self._pool = ThreadPoolExecutor(N_THREADS, thread_name_prefix="conversations")

    async def run(self, work: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """The function's result.

        Raises:
            InputError: a value cannot be stored in any database.
            StageBusy: too many calls wait, or another writer took too long.
            StageUnavailable: the database cannot be reached or cannot store.
        """
        if self._n_waiting >= self._most_waiting:
            raise _busy()
        self._n_waiting += 1
        try:
            return await asyncio.wrap_future(self._pool.submit(work, *args, **options))
        except SQLAlchemyError as error:
            raise translated(error) from error
        except UnicodeEncodeError as error:
            raise _unstorable() from error
        finally:
            self._n_waiting -= 1


def translated(error: SQLAlchemyError) -> RaydioError:
    """What an error of the database means to people."""
    words = str(error.orig if isinstance(error, DBAPIError) else error).lower()
    if isinstance(error, PoolTimeout) or any(mark in words for mark in _CONTENDED):
        return _busy()
    if any(mark in words for mark in _FULL):
        return _unavailable("The database cannot store anything.", "Free space on its disk, then try again.")
    if isinstance(error, OperationalError | InterfaceError):
        return _unavailable(
            "The database cannot be reached.", "Check that it runs, and DATABASE_URL; then try again."
        )
    if isinstance(error, DataError):
        return _unstorable()
    return StageFailed("conversations", f"The database failed: {type(error).__name__}.", "Look into the log.")


def _unstorable() -> InputError:
    return InputError("It holds characters that cannot be stored.", "Leave out control characters.")


def _busy() -> StageBusy:
    return StageBusy("conversations", "The database is busy.", "Try again in a moment.", RETRY_AFTER_S)


def _unavailable(message: str, hint: str) -> StageUnavailable:
    return StageUnavailable("conversations", message, hint, RETRY_AFTER_S)
