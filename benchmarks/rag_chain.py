"""What an answer from documents needs, stage after stage: as anybody would call them who has no conductor."""

from __future__ import annotations

import time
from dataclasses import dataclass

from serve_apps.access import OWNER
from serve_apps.args import RetrievalArgs
from serve_apps.contracts import Embeddings, Reranker
from serve_apps.contracts_knowledge import Knowledge, SearchRequest
from serve_apps.wire import QueryVector


@dataclass(slots=True)
class Chain:
    """Embedding, search, reranker; over handles, or the stages themselves."""

    embeddings: Embeddings
    knowledge: Knowledge
    reranker: Reranker
    collection_id: str
    model: str = ""

    async def one_ms(self, query: str, *, rerank: bool) -> float:
        """Milliseconds for one query; whose name the vectors have is asked before."""
        self.model = self.model or (await self.embeddings.describe()).card.model
        started = time.perf_counter()
        vectors = await self.embeddings.embed([query])
        found = await self.knowledge.search(
            SearchRequest(
                user=OWNER,
                query=query,
                vector=vectors[0],
                embedding_model=self.model,
                collections=(self.collection_id,),
                limit=RetrievalArgs().n_candidates,
            )
        )
        if rerank:
            vector = QueryVector(model=self.model, values=vectors[0])
            await self.reranker.rank(query, [hit.passage.text for hit in found.hits], vector=vector)
        return (time.perf_counter() - started) * 1000
