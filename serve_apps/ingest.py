"""The ingest conductor: reads, cuts, embeds and stores documents."""

# No `from __future__ import annotations`: Serve checks `args:` only against an annotation that is a class.

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from ray import serve
from ray.serve import Application

from serve_apps.args import IngestArgs
from serve_apps.clients import EmbeddingsClient, SttClient
from serve_apps.clients_knowledge import KnowledgeClient
from serve_apps.contracts import Embeddings, Stt
from serve_apps.contracts_knowledge import Knowledge
from serve_apps.errors import DocumentTooLarge, EmptyInput, StageBusy
from serve_apps.ingestion.progress import Board
from serve_apps.ingestion.web_addresses import AddressRules
from serve_apps.wire_knowledge import IngestEvent, IngestRequest

PATIENCE_S = 60.0
"""How long a stage that is down is waited for: a replica is replaced in a few seconds, or hardly ever."""
RETRY_S = 10.0
"""What a caller is told to wait for when too many are waiting."""


class IngestConductor:
    """Leads files through reading, embeddings and knowledge; see `contracts_knowledge.Ingest`.

    Args:
        stt: for recordings.
        embeddings: makes the vectors.
        knowledge: stores them.
        args: limits.
        rules: where URLs may lead; by default what `args` say.
        patience_s: how long a stage that is down or busy is waited for.
    """

    def __init__(
        self,
        stt: Stt,
        embeddings: Embeddings,
        knowledge: Knowledge,
        args: IngestArgs,
        *,
        rules: AddressRules | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        # Here and not above: the process that deploys reads no files.
        from serve_apps.ingestion.spool import Spool  # noqa: PLC0415
        from serve_apps.ingestion.tickets import Stages  # noqa: PLC0415
        from serve_apps.ingestion.web import WebFetcher  # noqa: PLC0415

        self._stages = Stages(stt=stt, embeddings=embeddings, knowledge=knowledge, patience_s=patience_s)
        self._args = args
        self._spool = Spool()
        self._fetcher = WebFetcher(args, rules)
        self._slots = asyncio.Semaphore(args.n_at_once)
        self._n_under_way = 0

    async def stream_ingest(self, request: IngestRequest) -> AsyncGenerator[IngestEvent, None]:
        """See `Ingest.stream_ingest`.

        Raises:
            EmptyInput, DocumentTooLarge: no files, or more than one call may hold.
            StageBusy: too many others wait.
            NotFound, Forbidden, EmbeddingMismatch: the collection takes none of them.
        """
        from serve_apps.ingestion.files import Finder  # noqa: PLC0415
        from serve_apps.ingestion.run import IngestRun  # noqa: PLC0415

        names = [*(file.name for file in request.files), *request.urls]
        self._judge(len(names))
        board = Board(len(names))
        with self._spool.room() as room:
            finder = Finder(request, self._args, room, self._fetcher, board)
            run = IngestRun(request, finder, self._stages, self._args, board)
            async with aclosing(self._told(board, names[0], run.run)) as events:
                async for event in events:
                    yield event

    async def stream_reindex(self, user: str, collection_id: str) -> AsyncGenerator[IngestEvent, None]:
        """See `Ingest.stream_reindex`."""
        from serve_apps.ingestion.reindex import ReindexRun  # noqa: PLC0415

        board = Board(1)
        run = ReindexRun(user, collection_id, self._stages, self._args, board)
        async with aclosing(self._told(board, "", run.run)) as events:
            async for event in events:
                yield event

    def _judge(self, n_files: int) -> None:
        if not n_files:
            raise EmptyInput("There are no files to add.", "Choose at least one.")
        if n_files > self._args.max_files:
            raise DocumentTooLarge(
                f"These are more than {self._args.max_files} files.", "Add them in several parts."
            )

    async def _told(
        self, board: Board, name: str, work: Callable[[], Awaitable[None]]
    ) -> AsyncGenerator[IngestEvent, None]:
        """What the board says while the work goes on in its turn; closed, the work is cancelled, undone."""
        if self._n_under_way >= self._args.n_at_once + self._args.max_waiting:
            raise StageBusy("ingest", "Too many files wait to be added.", "Try again in a moment.", RETRY_S)
        self._n_under_way += 1
        task = asyncio.create_task(self._in_turn(board, name, work))
        try:
            async with aclosing(board.events()) as events:
                async for event in events:
                    yield event
            await task
            yield board.report()
        finally:
            task.cancel()
            await asyncio.wait([task])
            self._n_under_way -= 1
            if not task.cancelled():
                task.exception()  # seen: a caller that left is not told

    async def _in_turn(self, board: Board, name: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            board.at(0, name, "waiting")
            async with self._slots:
                await work()
        finally:
            board.end()


class _IngestApplication(IngestConductor):
    """The conductor as a deployment of its own, over handles to the other applications."""

    def __init__(self, args: IngestArgs) -> None:
        super().__init__(SttClient(), EmbeddingsClient(), KnowledgeClient(), args)


def app(args: IngestArgs) -> Application:
    """Ingest as a Serve application."""
    n_calls = args.n_at_once + args.max_waiting + 1  # one more, to be refused in words
    deployment = serve.deployment(name="ingest", max_ongoing_requests=n_calls)(_IngestApplication)
    return deployment.bind(args)
