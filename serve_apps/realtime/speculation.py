"""What a silence is used for: understand the speech so far, and think of an answer, in case it was all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from serve_apps.errors import RaydioError
from serve_apps.realtime.answer import Answer


class Speculation:
    """Transcript, then answer, of one stretch of speech. Nothing of it is told until the turn has ended.

    Args:
        understand: transcribes the stretch.
        answer: begins the answer to a text; None where no answer is wanted.
    """

    def __init__(
        self, understand: Callable[[], Awaitable[str]], answer: Callable[[str], Answer] | None
    ) -> None:
        self.began_at = asyncio.get_running_loop().time()
        self.understood_at: float | None = None
        self.text: str | None = None
        self.error: RaydioError | None = None
        self.answer: Answer | None = None
        self._understand = understand
        self._begin_answer = answer
        self._task = asyncio.create_task(self._run())

    async def understood(self) -> str:
        """Wait for the transcript.

        Raises:
            RaydioError: stt failed.
        """
        await asyncio.wait([self._task])
        if self.error is not None:
            raise self.error
        self._task.result()
        return self.text or ""

    def take_answer(self) -> Answer | None:
        """Its answer, which is the caller's from now on."""
        answer, self.answer = self.answer, None
        return answer

    async def drop(self) -> None:
        """The user went on talking: stop whatever is at work."""
        self._task.cancel()
        await asyncio.wait([self._task])
        if self.answer is not None:
            await self.answer.drop()

    async def _run(self) -> None:
        try:
            self.text = await self._understand()
        except RaydioError as error:
            self.error = error
            return
        self.understood_at = asyncio.get_running_loop().time()
        if self.text and self._begin_answer is not None:
            self.answer = self._begin_answer(self.text)
