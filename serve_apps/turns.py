"""What the two conductors share: the turn's clock and deadline, streams that are always closed, failures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

from serve_apps.errors import RaydioError, StageError, StageTimeout
from serve_apps.settings import ASSETS
from serve_apps.wire import Span, TurnFailed

T = TypeVar("T")


class TurnClock:
    """Milliseconds since a turn began, and how long it may still take.

    Args:
        timeout_s: the turn's limit, counted from now.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._started = time.perf_counter()
        self._deadline = asyncio.get_running_loop().time() + timeout_s

    def now_ms(self) -> float:
        """Time since the turn began."""
        return (time.perf_counter() - self._started) * 1000

    def limit(self) -> asyncio.Timeout:
        """A context that ends, with TimeoutError, what is awaited in it at the turn's deadline."""
        return asyncio.timeout_at(self._deadline)

    def expired(self, stage: str) -> StageTimeout:
        """The error for a stage that was at work when time ran out."""
        return StageTimeout(
            stage,
            f"No complete answer within {self._timeout_s:g} seconds.",
            "Try again, or ask for something shorter.",
        )

    async def until_deadline(self, stream: AsyncIterator[T], stage: str) -> AsyncGenerator[T, None]:
        """Pass a stage's stream on, and close it when this iterator ends, fails or is closed.

        Raises:
            StageTimeout: the deadline came first.
        """
        # A timeout a step, because the steps of a generator may run in different tasks.
        try:
            while True:
                async with self.limit():
                    item = await anext(stream)
                yield item
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise self.expired(stage) from error
        finally:
            await close(stream)


async def close(stream: AsyncIterator[object]) -> None:
    """Close an async generator now; its work must not wait for the garbage collector."""
    aclose = getattr(stream, "aclose", None)
    if aclose is not None:
        await aclose()


def span(name: str, start_ms: float, end_ms: float) -> Span:
    """A bar between two readings of a turn's clock."""
    return Span(name=name, start_ms=start_ms, duration_ms=max(0.0, end_ms - start_ms))


def failed(error: RaydioError, stage: str) -> TurnFailed:
    """The last event of a turn that `error` ended, while `stage` was asked."""
    return TurnFailed(
        stage=error.stage if isinstance(error, StageError) else stage,
        code=error.code,
        message=str(error),
        retry_after_s=error.retry_after_s if isinstance(error, StageError) else None,
    )


def prompt(name: str) -> str:
    """The system prompt in `assets/prompts/<name>.md`."""
    return (ASSETS / "prompts" / f"{name}.md").read_text(encoding="utf-8").strip()
