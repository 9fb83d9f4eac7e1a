"""An answer being made: drawn from the conductor into a small buffer from the moment it is asked for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from serve_apps.errors import RaydioError, StageFailed
from serve_apps.turns import failed
from serve_apps.wire import Message, TurnEvent

MAX_HELD = 256
"""Events that wait for their listener; the conductor waits then, and with it the models."""


log = logging.getLogger(__name__)


class Answer:
    """A turn's events. Nobody needs to listen yet: a speculative answer is thought over in silence.

    Args:
        events: the conductor's stream; closed when it ends or is dropped.
        stage: who is to blame for a failure of the stream itself.
        messages: what it answers.
    """

    def __init__(
        self, events: AsyncGenerator[TurnEvent, None], stage: str, messages: tuple[Message, ...]
    ) -> None:
        self.messages = messages
        self.asked_at = asyncio.get_running_loop().time()
        self._stage = stage
        self._held: asyncio.Queue[tuple[float, TurnEvent] | None] = asyncio.Queue(MAX_HELD)
        self._drawing = asyncio.create_task(self._draw(events))

    async def events(self) -> AsyncIterator[tuple[float, TurnEvent]]:
        """Each event with the time when it came, on the event loop's clock."""
        while (timed := await self._held.get()) is not None:
            yield timed

    async def drop(self) -> None:
        """Stop the models; nobody wants to hear it."""
        self._drawing.cancel()
        await asyncio.wait([self._drawing])
        while not self._held.empty():
            self._held.get_nowait()
        self._held.put_nowait(None)

    async def _draw(self, events: AsyncGenerator[TurnEvent, None]) -> None:
        try:
            async with aclosing(events):
                async for event in events:
                    await self._hold(event)
        except RaydioError as error:
            await self._hold(failed(error, self._stage))
        except asyncio.CancelledError:
            if self._drawing.cancelling():
                raise
            # Somebody else has cancelled the call.
            stopped = StageFailed(self._stage, "The answer was interrupted.", "Try again.")
            await self._hold(failed(stopped, self._stage))
        # Whatever else a stream raises, whoever waits for the answer must hear that there is none.
        except Exception:
            log.exception("The stream of an answer broke")
            broken = StageFailed(self._stage, "The answer could not be made.", "Try again.")
            await self._hold(failed(broken, self._stage))
        await self._held.put(None)

    async def _hold(self, event: TurnEvent) -> None:
        await self._held.put((asyncio.get_running_loop().time(), event))
