"""Pictures of PDF pages for the passage viewer: a few at a time, the last ones kept."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from serve_apps.admission import FairQueue
from serve_apps.contracts_knowledge import Knowledge
from serve_apps.documents.page_picture import PagePicture, picture

WIDTH_PX = 1400
"""Sharp on a dense screen, small on the wire."""
N_KEPT = 16
N_AT_ONCE = 1
MAX_WAITING = 8
MAX_WAIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A page with a passage."""

    user: str
    document_id: str
    page: int
    start: int
    end: int


class PagePictures:
    """Draws each page once for all who ask while it is remembered; more than it can draw are refused."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self._queue = FairQueue(
            "documents", n_slots=N_AT_ONCE, max_waiting=MAX_WAITING, max_wait_s=MAX_WAIT_S
        )
        self._kept: OrderedDict[Wanted, PagePicture] = OrderedDict()

    async def get(self, wanted: Wanted) -> PagePicture:
        """The picture; the caller has checked that the user may see it.

        Raises:
            StageBusy: too many are waiting.
            DocumentUnreadable, DocumentTooLarge: it cannot be drawn within the limits.
        """
        if found := self._remembered(wanted):
            return found
        async with self._queue.slot(wanted.user):
            if found := self._remembered(wanted):  # drawn while we waited
                return found
            pdf = await self._knowledge.original(wanted.user, wanted.document_id)
            drawn = await picture(pdf, wanted.page, wanted.start, wanted.end, WIDTH_PX)
            self._kept[wanted] = drawn
            while len(self._kept) > N_KEPT:
                self._kept.popitem(last=False)
            return drawn

    def _remembered(self, wanted: Wanted) -> PagePicture | None:
        if wanted in self._kept:
            self._kept.move_to_end(wanted)
        return self._kept.get(wanted)
