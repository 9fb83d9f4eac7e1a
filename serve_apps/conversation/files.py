"""Exports and imports of the conversations conductor: the database on its threads, the files beside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from serve_apps.conversation.exchange import Exchange
from serve_apps.conversation.export_conversations import exported, feedback_lines
from serve_apps.conversation.import_conversations import read
from serve_apps.conversation.threads import DatabaseThreads
from serve_apps.errors import EmptyInput, StageBusy
from serve_apps.wire_conversations import Exported, ExportFormat, Imported

N_AT_ONCE = 2
"""Files that are made or read at the same time; they may be large."""
MOST_WAITING = 16


class ConversationFiles:
    """Makes and reads files.

    Args:
        exchange: whole conversations in the database.
        threads: where it is spoken with.
    """

    def __init__(self, exchange: Exchange, threads: DatabaseThreads) -> None:
        self._exchange, self._threads = exchange, threads
        self._turn = asyncio.Semaphore(N_AT_ONCE)
        self._n_waiting = 0

    async def export(self, user: str, conversation_ids: Sequence[str], as_format: ExportFormat) -> Exported:
        """See `Conversations.export`."""
        found = await self._threads.run(self._exchange.read, user, conversation_ids)
        if not found:
            raise EmptyInput("There are no conversations to export.", "Begin one first.")
        async with self._place():
            return await asyncio.to_thread(exported, found, as_format)

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """One of the few places, waited for.

        Raises:
            StageBusy: too many wait.
        """
        if self._n_waiting >= MOST_WAITING:
            raise StageBusy("conversations", "Too many files are being made.", "Try again in a moment.", 5.0)
        self._n_waiting += 1
        try:
            async with self._turn:
                yield
        finally:
            self._n_waiting -= 1

    async def export_feedback(self, user: str) -> Exported:
        """See `Conversations.export_feedback`."""
        judged = await self._threads.run(self._exchange.judged, user)
        return await asyncio.to_thread(feedback_lines, judged)

    async def import_file(self, user: str, data: bytes) -> Imported:
        """See `Conversations.import_file`."""
        async with self._place():
            found = await asyncio.to_thread(read, data)
        return await self._threads.run(self._exchange.add, user, found)
