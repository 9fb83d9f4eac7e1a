"""Documents that were begun and not yet committed: whatever happens, none of them is left over."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from serve_apps.contracts import Embeddings, Stt
from serve_apps.contracts_knowledge import Knowledge
from serve_apps.errors import RaydioError
from serve_apps.ingestion.patience import patiently, to_the_end
from serve_apps.wire_knowledge import Document, NewDocument, Ticket

CLEAN_UP_S = 10.0
"""How long a cancelled ingest tries to take back what it had begun; knowledge does it at its start, too."""

RENEW_S = 300.0
"""How often open tickets are renewed: one may wait for an hour of sound, or behind a thousand pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """What an ingest calls."""

    stt: Stt
    embeddings: Embeddings
    knowledge: Knowledge
    patience_s: float
    """How long a stage that is down or busy is waited for."""


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """What makes the vectors."""

    name: str
    dimensions: int

    @classmethod
    async def running(cls, stages: Stages) -> EmbeddingModel:
        """Ask the embeddings stage."""
        report = await patiently(stages.embeddings.describe, stages.patience_s)
        probe = await patiently(lambda: stages.embeddings.embed(["How many dimensions?"]), stages.patience_s)
        return cls(report.card.model, int(probe.shape[1]))


class Tickets:
    """The tickets of one ingest.

    Args:
        stages: the knowledge stage, and the patience with it.
    """

    def __init__(self, stages: Stages) -> None:
        self._knowledge = stages.knowledge
        self._patience_s = stages.patience_s
        self._open: dict[str, Ticket] = {}

    async def begin(
        self, user: str, collection_id: str, document: NewDocument, model: EmbeddingModel
    ) -> Ticket:
        """See `Knowledge.begin`."""
        return await to_the_end(self._begin(user, collection_id, document, model))

    async def commit(self, ticket: Ticket) -> Document:
        """See `Knowledge.commit`."""
        return await to_the_end(self._commit(ticket))

    async def abandon(self, ticket: Ticket) -> None:
        """Take a document back, as well as that works."""
        if self._open.pop(ticket.document_id, None) is None:
            return
        with contextlib.suppress(RaydioError, TimeoutError):
            async with asyncio.timeout(CLEAN_UP_S):
                await self._knowledge.abandon(ticket)

    async def keep_open(self) -> None:
        """Renew every open ticket from time to time, until cancelled."""
        while True:
            await asyncio.sleep(RENEW_S)
            for ticket in list(self._open.values()):
                with contextlib.suppress(RaydioError):  # whoever uses it is told
                    await self._knowledge.add_pages(ticket, ())

    async def abandon_all(self) -> None:
        """Take back every document that is still open."""
        await asyncio.gather(*[self.abandon(ticket) for ticket in list(self._open.values())])

    async def _begin(
        self, user: str, collection_id: str, document: NewDocument, model: EmbeddingModel
    ) -> Ticket:
        ticket = await patiently(
            lambda: self._knowledge.begin(user, collection_id, document, model.name, model.dimensions),
            self._patience_s,
        )
        if not ticket.unchanged:
            self._open[ticket.document_id] = ticket
        return ticket

    async def _commit(self, ticket: Ticket) -> Document:
        document = await patiently(lambda: self._knowledge.commit(ticket), self._patience_s)
        self._open.pop(ticket.document_id, None)
        return document
