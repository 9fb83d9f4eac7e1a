"""From an engine's thread to the event loop, token by token, with the cancel on its way back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future, ThreadPoolExecutor

from serve_apps.wire import LlmDelta, LlmDone, LlmEvent, LlmTimings


class TokenClock:
    """Counts an answer's tokens and notes when they came, from the moment it is made."""

    def __init__(self) -> None:
        self.n_tokens = 0
        self._started = time.perf_counter()
        self._first = self._last = self._started

    def token(self, n: int = 1) -> None:
        """Count tokens as the model makes them; the first sets the time to first token."""
        self._last = time.perf_counter()
        if self.n_tokens == 0:
            self._first = self._last
        self.n_tokens += n

    def timings(self) -> LlmTimings:
        """Where the time went, without a queue."""
        first_s, decoding_s = self._first - self._started, self._last - self._first
        return LlmTimings(
            queue_ms=0.0,
            first_token_ms=first_s * 1000,
            total_ms=(time.perf_counter() - self._started) * 1000,
            tokens_per_s=(self.n_tokens - 1) / decoding_s if decoding_s > 0 else 0.0,
        )


class Answer(TokenClock):
    """One answer under way: made on the event loop, filled on the engine's thread."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self.deltas: asyncio.Queue[LlmDelta | None] = asyncio.Queue()
        self.cancelled = False
        """The caller has gone: stop at the next token."""
        self._n_sent = 0

    def send(self, text: str) -> None:
        """Hand text to the caller, unless it is empty or nobody listens."""
        if text and not self.cancelled:
            delta = LlmDelta(text=text, n_tokens=self.n_tokens - self._n_sent)
            self._n_sent = self.n_tokens
            self._loop.call_soon_threadsafe(self.deltas.put_nowait, delta)


async def stream_from_thread(
    threads: ThreadPoolExecutor, work: Callable[[Answer], LlmDone]
) -> AsyncGenerator[LlmEvent, None]:
    """Run `work` on a thread and yield what it sends as it comes, then what it returns.

    When this is closed or cancelled, `work` sees `answer.cancelled` and this waits for its return, so
    that whoever gets the engine next gets all of it.
    """
    answer = Answer()
    running = threads.submit(work, answer)
    done = asyncio.wrap_future(running)
    done.add_done_callback(lambda _: answer.deltas.put_nowait(None))
    try:
        while (delta := await answer.deltas.get()) is not None:
            yield delta
        yield await done
    finally:
        answer.cancelled = True
        await _settled(running, done)


async def _settled(running: Future[LlmDone], done: asyncio.Future[LlmDone]) -> None:
    """Return when the thread is free; its error has gone to the caller, or has no reader."""
    running.cancel()
    await asyncio.wait([done])
    if not done.cancelled():
        done.exception()
