"""The knowledge stage of one machine, with an encoder and a reranker of its own: passages in one call.

Between processes, embedding, search and reranking are three calls, which take as long as the work itself
(decision 0026). The stages of that name stay what they are for everybody else, and an ingest keeps them busy,
not these.
"""

# No `from __future__ import annotations`: Serve checks `args:` only against an annotation that is a class.

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from ray.serve import Application

from serve_apps.args import OneCallKnowledgeArgs
from serve_apps.contracts import EmbeddingsEngine, RerankerEngine
from serve_apps.contracts_knowledge import FindRequest, FindResult, SearchRequest
from serve_apps.embeddings import EmbeddingsStage
from serve_apps.finding import Found, StageFinder, clock, search_request, within
from serve_apps.knowledge import KnowledgeStage
from serve_apps.reranker import RerankerStage
from serve_apps.stage_deployment import stage_deployment
from serve_apps.wire import ModelCard, StageReport
from serve_apps.wire_knowledge import SearchResult

if TYPE_CHECKING:
    from sqlalchemy import Engine


class OneCallKnowledge(KnowledgeStage):
    """Implements `contracts_knowledge.Knowledge` and `FindsPassages`.

    Args:
        args: of the three stages.
        embeddings_class: the encoder instead of the configured one.
        reranker_class: the reranker instead of the configured one.
        database: as of `KnowledgeStage`.
    """

    def __init__(
        self,
        args: OneCallKnowledgeArgs,
        embeddings_class: type[EmbeddingsEngine] | None = None,
        reranker_class: type[RerankerEngine] | None = None,
        database: "Engine | None" = None,
    ) -> None:
        super().__init__(args, database=database)
        self._embeddings = EmbeddingsStage(args.embeddings, embeddings_class)
        self._reranker = RerankerStage(args.reranker, reranker_class)
        self._finder = StageFinder(self._embeddings, self, self._reranker)

    async def find(self, request: FindRequest) -> FindResult:
        """See `FindsPassages.find`."""
        asked, now_ms = request, clock()
        found = Found(asked.user, asked.query, asked.wanted, asked.limit, asked.timeout_s, now_ms)
        async with within(asked.timeout_s):
            await self._look(found)
        hits = await self._finder.score(found)
        return FindResult(hits=hits, spans=tuple(found.spans), notes=tuple(found.notes), total_ms=now_ms())

    async def _look(self, found: Found) -> None:
        """Embed and search; what needs no vector is done while that is made."""
        await self._threads.prepared()
        method = found.wanted.method
        request = search_request(found, method, await self._finder.model())
        ahead = asyncio.create_task(self._threads.beside(self._search.ahead, request))

        async def ask(request: SearchRequest) -> SearchResult:
            # Without embeddings, words alone are asked for: another search, in more collections.
            found_ahead = await ahead if request.method == method else None
            return await self._threads.beside(self._search.search, request, found_ahead)

        try:
            await self._finder.search(found, await self._finder.embed(found), ask)
        finally:
            ahead.cancel()
            await asyncio.gather(ahead, return_exceptions=True)

    async def describe(self) -> StageReport:
        """The vector store with both models, and this replica's counters."""
        report = await super().describe()
        models = [(await stage.describe()).card for stage in (self._embeddings, self._reranker)]
        return replace(report, card=_together(report.card, *models))

    async def check_health(self) -> None:
        """See `KnowledgeStage.check_health`; an encoder that hangs is found, too.

        Raises:
            StageFailed: something hangs.
        """
        await self._embeddings.check_health()
        await self._reranker.check_health()
        await super().check_health()


def _together(store: ModelCard, *models: ModelCard) -> ModelCard:
    cards = (store, *models)
    sizes = {card.model: card.size_bytes for card in cards}  # one model may do both: the same file
    return replace(
        store,
        model=", ".join(sizes),
        size_bytes=sum(sizes.values()),
        licence=", ".join(dict.fromkeys(card.licence for card in cards)),
        details={**store.details, **{card.stage: f"{card.engine}, {card.source}" for card in models}},
    )


def app(args: OneCallKnowledgeArgs) -> Application:
    """The knowledge application of a Serve config for one machine."""
    return stage_deployment("knowledge", OneCallKnowledge, n_calls=args.max_waiting).bind(args)
