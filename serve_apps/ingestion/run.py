"""One ingest from its first file to its last: read, cut, embed and store, each while the others work.

The next files are read while the last ones are embedded, and passages of small files share a batch, so that
the embedder never waits. Memory stays flat: a few batches of passages are ahead of it, and of vectors behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from serve_apps.args import IngestArgs
from serve_apps.documents.cutting import embedded_text
from serve_apps.errors import EmbeddingMismatch, Forbidden, NotFound, RaydioError
from serve_apps.ingestion.files import Finder, FoundFile, failure
from serve_apps.ingestion.patience import patiently
from serve_apps.ingestion.progress import Board
from serve_apps.ingestion.reading import FileReader
from serve_apps.ingestion.shelf import Draft, Part, Shelf
from serve_apps.ingestion.tickets import EmbeddingModel, Stages, Tickets
from serve_apps.wire import Vectors
from serve_apps.wire_knowledge import FileAdded, FileSkipped, IngestRequest

N_READERS = 2
"""Files read at once: one may be slow."""
N_EMBEDDERS = 2
"""Batches at the embeddings stage: while it works on one, the next is there already."""
N_STORERS = 2
BATCHES_AHEAD = 4
_FATAL = (NotFound, Forbidden, EmbeddingMismatch)
"""At the beginning of a document: every other one would fail in the same way."""


class IngestRun:
    """The pipeline of one request.

    Args:
        request: what to add, and where.
        finder: its files.
        stages: what does the work.
        args: limits and batch size.
        board: is told what happens.
    """

    def __init__(
        self, request: IngestRequest, finder: Finder, stages: Stages, args: IngestArgs, board: Board
    ) -> None:
        self._finder = finder
        self._stages = stages
        self._args = args
        self._board = board
        self._tickets = Tickets(stages)
        self._reader = FileReader(request, stages, self._tickets, args, board)
        self._shelf = Shelf(BATCHES_AHEAD * args.batch_passages)
        self._embedded: asyncio.Queue[tuple[list[Part], Vectors] | None] = asyncio.Queue(N_STORERS)

    async def run(self) -> None:
        """Add every file that can be added; cancelled, nothing half added is left.

        Raises:
            NotFound, Forbidden, EmbeddingMismatch: the collection takes none of them.
        """
        renewing = asyncio.create_task(self._tickets.keep_open())
        try:
            await self._pipeline()
        except BaseExceptionGroup as group:
            raise _first(group) from group
        finally:
            renewing.cancel()
            await self._tickets.abandon_all()

    async def _pipeline(self) -> None:
        model = await EmbeddingModel.running(self._stages)
        async with asyncio.TaskGroup() as storing:
            for _ in range(N_STORERS):
                storing.create_task(self._store_all())
            async with asyncio.TaskGroup() as embedding:
                for _ in range(N_EMBEDDERS):
                    embedding.create_task(self._embed_all())
                await self._read_everything(model)
                await self._shelf.end()
            for _ in range(N_STORERS):
                await self._embedded.put(None)

    async def _read_everything(self, model: EmbeddingModel) -> None:
        lock = asyncio.Lock()
        async with aclosing(self._finder.found()) as files, asyncio.TaskGroup() as reading:
            for _ in range(N_READERS):
                reading.create_task(self._read_all(files, lock, model))

    async def _read_all(
        self, files: AsyncGenerator[FoundFile, None], lock: asyncio.Lock, model: EmbeddingModel
    ) -> None:
        while True:
            async with lock:
                file = await anext(files, None)
            if file is None:
                return
            draft = await self._read(file, model)
            if draft:
                self._board.at(file.index, file.name, "embedding")
                await self._shelf.put(draft)

    async def _read(self, file: FoundFile, model: EmbeddingModel) -> Draft | None:
        try:
            draft = await self._reader.draft(file, model)
            if draft is None:
                self._board.tell(file.index, FileSkipped(name=file.name, reason="unchanged"))
        except _FATAL:
            raise
        except (RaydioError, OSError) as error:
            self._finder.fail(file.index, file.name, error)
            return None
        finally:
            await file.forget()
        return draft

    async def _embed_all(self) -> None:
        while parts := await self._shelf.take(self._args.batch_passages):
            texts = [
                embedded_text(passage, part.draft.file.name) for part in parts for passage in part.passages
            ]
            try:
                vectors = await patiently(
                    lambda texts=texts: self._stages.embeddings.embed(texts),  # type: ignore[misc]
                    self._stages.patience_s,
                )
            except RaydioError as error:
                for part in parts:
                    await self._drop(part.draft, error)
            else:
                await self._embedded.put((parts, vectors))

    async def _store_all(self) -> None:
        while batch := await self._embedded.get():
            parts, vectors = batch
            start = 0
            for part in parts:
                end = start + len(part.passages)
                await self._store(part, vectors[start:end])
                start = end
            for part in parts:  # when all of them are stored: one flush serves them all
                await self._commit_whole(part.draft)

    async def _store(self, part: Part, vectors: Vectors) -> None:
        draft = part.draft
        if draft.is_dropped:
            return
        try:
            await patiently(
                lambda: self._stages.knowledge.add_passages(draft.ticket, part.passages, vectors),
                self._stages.patience_s,
            )
            draft.n_stored += len(part.passages)
            share = draft.n_stored / len(draft.passages)
            self._board.at(
                draft.file.index, draft.file.name, "storing" if draft.is_whole else "embedding", share
            )
        except RaydioError as error:
            await self._drop(draft, error)

    async def _commit_whole(self, draft: Draft) -> None:
        if draft.is_dropped or not draft.is_whole:
            return
        try:
            document = await self._tickets.commit(draft.ticket)
        except RaydioError as error:
            await self._drop(draft, error)
            return
        added = FileAdded(
            name=draft.file.name, document=document, n_duplicates=draft.n_duplicates, notes=draft.notes
        )
        self._board.tell(draft.file.index, added)

    async def _drop(self, draft: Draft, error: RaydioError) -> None:
        if not draft.is_dropped:
            draft.is_dropped = True
            await self._tickets.abandon(draft.ticket)
            self._board.tell(draft.file.index, failure(draft.file.name, error))


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
