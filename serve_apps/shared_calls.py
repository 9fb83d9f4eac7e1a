"""Texts of several callers in one call over a handle: each call costs both sides about a millisecond.

That is as much as a small model takes for a short text. Nobody waits for company: a call that finds room goes
at once, and those that come while the room is taken go together, when a call is back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from functools import partial

from serve_apps.errors import StageBusy
from serve_apps.wire import Vectors

FEW_TEXTS = 8
"""A call of more has its own: it costs little beside them."""
TEXTS_TOGETHER = 16
"""The size of batch that a small model on a CPU is fastest with."""
N_UNDER_WAY = 2
"""While the stage works on one call, the next is there already."""
MOST_WAITING = 256
"""Calls that may wait for one that is under way; more are shed."""


@dataclass(frozen=True, slots=True, eq=False)
class _Caller:
    texts: Sequence[str]
    answer: asyncio.Future[Vectors]


class SharedCalls:
    """Embeds the texts of callers in this process, on one event loop.

    Args:
        stage: the stage's word, for errors.
        embed: makes one call: texts to float32, shape (len(texts), d).
    """

    def __init__(self, stage: str, embed: Callable[[Sequence[str]], Awaitable[Vectors]]) -> None:
        self._stage, self._embed = stage, embed
        self._waiting: deque[_Caller] = deque()
        self._under_way: set[asyncio.Task[Vectors]] = set()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """The vectors of `texts`, as a call of their own would give them.

        Raises:
            StageBusy: too many callers wait already.
            RaydioError: what the call raised that these texts were in.
        """
        if not 0 < len(texts) <= FEW_TEXTS or isinstance(texts, str):
            return await self._embed(texts)
        if len(self._waiting) >= MOST_WAITING:
            raise StageBusy(
                self._stage,
                f"{len(self._waiting)} calls wait for the {self._stage} stage already.",
                "Try again in a moment.",
                1.0,
            )
        caller = _Caller(texts, asyncio.get_running_loop().create_future())
        self._waiting.append(caller)
        self._begin()
        return await caller.answer

    def _begin(self) -> None:
        while self._waiting and len(self._under_way) < N_UNDER_WAY:
            if company := self._company():
                # An empty context: Serve cancels what was called in the context of a request that was left.
                task = asyncio.create_task(self._call(company), context=Context())
                self._under_way.add(task)
                task.add_done_callback(partial(self._ended, company))
                for caller in company:
                    caller.answer.add_done_callback(partial(_leave, task, company))

    def _company(self) -> list[_Caller]:
        """The next callers who are still there."""
        company: list[_Caller] = []
        n_texts = 0
        while self._waiting and n_texts + len(self._waiting[0].texts) <= TEXTS_TOGETHER:
            caller = self._waiting.popleft()
            if not caller.answer.done():
                company.append(caller)
                n_texts += len(caller.texts)
        return company

    async def _call(self, company: list[_Caller]) -> Vectors:
        return await self._embed([text for caller in company for text in caller.texts])

    def _ended(self, company: list[_Caller], task: asyncio.Task[Vectors]) -> None:
        self._under_way.discard(task)
        error = None if task.cancelled() else task.exception()
        start = 0
        for caller in company:
            end = start + len(caller.texts)
            if caller.answer.done():
                pass
            elif error is not None:
                caller.answer.set_exception(error)
            elif not task.cancelled():
                caller.answer.set_result(task.result()[start:end])
            start = end
        self._begin()


def _leave(task: asyncio.Task[Vectors], company: list[_Caller], _answer: asyncio.Future[Vectors]) -> None:
    """Nobody is left to be told: end the call."""
    if all(caller.answer.cancelled() for caller in company):
        task.cancel()
