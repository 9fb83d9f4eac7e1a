"""Documents that were read and wait for the embedder, a few batches of passages of them at most."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from serve_apps.ingestion.files import FoundFile
from serve_apps.wire_knowledge import Passage, Ticket


@dataclass(slots=True, eq=False, kw_only=True)
class Draft:
    """A document on its way into the collection."""

    file: FoundFile
    ticket: Ticket
    passages: tuple[Passage, ...]
    n_duplicates: int
    notes: tuple[str, ...] = ()
    n_taken: int = 0
    """Passages that were given to the embedder."""
    n_stored: int = 0
    is_dropped: bool = False
    """It failed: the rest of it is left."""

    @property
    def is_whole(self) -> bool:
        """Whether every passage is stored."""
        return self.n_stored == len(self.passages)


@dataclass(frozen=True, slots=True)
class Part:
    """Some passages of one document."""

    draft: Draft
    passages: tuple[Passage, ...]


class Shelf:
    """Between readers and embedders.

    Args:
        n_passages: readers wait while so many are waiting.
    """

    def __init__(self, n_passages: int) -> None:
        self._limit = n_passages
        self._drafts: deque[Draft] = deque()
        self._n_waiting = 0
        self._ended = False
        self._changed = asyncio.Condition()

    async def put(self, draft: Draft) -> None:
        """Add a document; waits while enough is there."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._n_waiting < self._limit)
            self._drafts.append(draft)
            self._n_waiting += len(draft.passages)
            self._changed.notify_all()

    async def end(self) -> None:
        """Nothing more comes."""
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    async def take(self, n_passages: int) -> list[Part]:
        """The next passages, of as many documents as it takes: what is there, up to `n_passages`.

        Waits while nothing is there; empty at the end.
        """
        async with self._changed:
            parts: list[Part] = []
            while not parts and (self._drafts or not self._ended):
                await self._changed.wait_for(lambda: bool(self._drafts) or self._ended)
                parts = self._parts(n_passages)
                self._changed.notify_all()
            return parts

    def _parts(self, n_passages: int) -> list[Part]:
        parts: list[Part] = []
        while n_passages > 0 and self._drafts:
            part = self._cut(n_passages)
            if not part.draft.is_dropped:
                parts.append(part)
                n_passages -= len(part.passages)
        return parts

    def _cut(self, n_passages: int) -> Part:
        draft = self._drafts[0]
        end = (
            len(draft.passages) if draft.is_dropped else min(len(draft.passages), draft.n_taken + n_passages)
        )
        passages = draft.passages[draft.n_taken : end]
        draft.n_taken = end
        self._n_waiting -= len(passages)
        if end == len(draft.passages):
            self._drafts.popleft()
        return Part(draft, passages)
