"""A collection embedded again, by the model that runs now; searches use the old vectors until the end."""

from __future__ import annotations

import asyncio

from serve_apps.args import IngestArgs
from serve_apps.documents.cutting import embedded_text
from serve_apps.errors import NotFound
from serve_apps.ingestion.patience import patiently
from serve_apps.ingestion.progress import Board
from serve_apps.ingestion.tickets import EmbeddingModel, Stages
from serve_apps.wire import Vectors
from serve_apps.wire_knowledge import Collection, Passage

Rows = list[tuple[str, Passage]]
"""Document ids and passages."""


class ReindexRun:
    """One re-index.

    Args:
        user: the collection's owner.
        collection_id: which.
        stages: what does the work.
        args: batch size.
        board: is told what happens; the collection counts as one file.
    """

    def __init__(self, user: str, collection_id: str, stages: Stages, args: IngestArgs, board: Board) -> None:
        self._user = user
        self._collection_id = collection_id
        self._stages = stages
        self._knowledge = stages.knowledge
        self._n_batch = args.batch_passages
        self._board = board

    async def run(self) -> None:
        """Embed every passage; the new vectors take the old ones' place at once, at the end."""
        collection = await self._collection()
        self._board.at(0, collection.name, "embedding")
        model = await EmbeddingModel.running(self._stages)
        reindex_id = await patiently(
            lambda: self._knowledge.begin_reindex(
                self._user, self._collection_id, model.name, model.dimensions
            ),
            self._stages.patience_s,
        )
        await self._embed_all(reindex_id, collection)
        self._board.at(0, collection.name, "storing", 1.0)
        done = await patiently(lambda: self._knowledge.finish_reindex(reindex_id), self._stages.patience_s)
        self._board.n_passages = done.n_passages

    async def _collection(self) -> Collection:
        for collection in await self._knowledge.collections(self._user):
            if collection.id == self._collection_id:
                return collection
        raise NotFound("There is no such collection.", "Choose one from the list.")

    async def _embed_all(self, reindex_id: str, collection: Collection) -> None:
        """A batch is embedded while the one before it is stored."""
        documents = await self._knowledge.documents(self._user, self._collection_id)
        names = {document.id: document.name for document in documents}
        offset = 0
        async with asyncio.TaskGroup() as storing:
            before: asyncio.Task[None] | None = None
            while rows := await self._rows(offset):
                vectors = await self._embedded(rows, names)
                if before:
                    await before
                before = storing.create_task(self._store(reindex_id, rows, vectors))
                offset += len(rows)
                share = offset / max(offset, collection.n_passages)
                self._board.at(0, collection.name, "embedding", share)

    async def _rows(self, offset: int) -> Rows:
        return await patiently(
            lambda: self._knowledge.passages(
                self._user, self._collection_id, limit=self._n_batch, offset=offset
            ),
            self._stages.patience_s,
        )

    async def _embedded(self, rows: Rows, names: dict[str, str]) -> Vectors:
        texts = [embedded_text(passage, names.get(document_id, "")) for document_id, passage in rows]
        return await patiently(lambda: self._stages.embeddings.embed(texts), self._stages.patience_s)

    async def _store(self, reindex_id: str, rows: Rows, vectors: Vectors) -> None:
        await patiently(
            lambda: self._knowledge.add_reindexed(reindex_id, rows, vectors), self._stages.patience_s
        )
