"""The embeddings stage: texts of many callers, through the encoder together.

Calls that fit in one batch go through it in company and overtake longer ones, whose chunks take every
other turn: a query waits for one chunk at most, however much is being ingested.
"""

# No `from __future__ import annotations`: Serve checks `args:` only against an annotation that is a class.

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from ray.serve import Application

from serve_apps import engines
from serve_apps.args import EmbeddingsArgs
from serve_apps.contracts import EmbeddingsEngine
from serve_apps.errors import EmptyInput, InputError, RaydioError, StageBusy, StageFailed, TextTooLong
from serve_apps.metrics import StageMeter
from serve_apps.stage_deployment import stage_deployment
from serve_apps.wire import StageReport, Vectors

__all__ = ["EmbeddingsStage", "app"]

BATCH_CHARACTERS = 16_384
"""Characters in one batch: some 4,000 tokens, a quarter of a second for a small model on one thread."""
READ_CHARACTERS = 2_048
"""What one text counts at most against `BATCH_CHARACTERS`: models read no more of it."""
STUCK_S = 60.0
"""A batch that runs this long has hung: the health check fails and Serve replaces the replica."""


class _Call:
    """One caller's texts, taken in pieces, shortest first, and put together again."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        self.sizes = [min(len(text), READ_CHARACTERS) for text in texts]
        # Texts of one length together: the encoder pads each batch to its longest.
        self.order = sorted(range(len(texts)), key=self.sizes.__getitem__)
        self.n_taken = 0
        self.n_done = 0
        self.vectors: Vectors | None = None
        self.answer: asyncio.Future[Vectors] = asyncio.get_running_loop().create_future()

    @property
    def is_taken(self) -> bool:
        return self.n_taken == len(self.texts)

    def take(self, n_texts: int, n_characters: int) -> list[int]:
        """Positions of the next texts: at least one, else as many as both limits allow."""
        start = self.n_taken
        while self.n_taken < len(self.order) and self.n_taken - start < n_texts:
            n_characters -= self.sizes[self.order[self.n_taken]]
            if n_characters < 0 and self.n_taken > start:
                break
            self.n_taken += 1
        return self.order[start : self.n_taken]

    def put(self, positions: list[int], vectors: Vectors) -> None:
        if self.vectors is None:
            self.vectors = np.empty((len(self.texts), vectors.shape[1]), np.float32)
        self.vectors[positions] = vectors
        self.n_done += len(positions)
        if self.n_done == len(self.texts) and not self.answer.done():
            self.answer.set_result(self.vectors)


_Batch = list[tuple[_Call, list[int]]]


class _Queue:
    """Who is next: calls that fit in a batch, and longer ones, in turn."""

    def __init__(self, batch_texts: int) -> None:
        self._batch_texts = batch_texts
        self._short: deque[_Call] = deque()
        self._long: deque[_Call] = deque()
        self._short_is_next = True

    def __len__(self) -> int:
        return len(self._short) + len(self._long)

    @property
    def n_texts(self) -> int:
        return sum(len(call.texts) - call.n_taken for lane in (self._short, self._long) for call in lane)

    @property
    def has_full_batch(self) -> bool:
        return bool(self._long) or sum(len(call.texts) for call in self._short) >= self._batch_texts

    def add(self, call: _Call) -> None:
        fits = len(call.texts) <= self._batch_texts and sum(call.sizes) <= BATCH_CHARACTERS
        (self._short if fits else self._long).append(call)

    def discard(self, call: _Call) -> None:
        for lane in (self._short, self._long):
            if call in lane:
                lane.remove(call)

    def take(self) -> _Batch:
        short = bool(self._short) and (self._short_is_next or not self._long)
        self._short_is_next = not short
        return self._company() if short else self._chunk()

    def _company(self) -> _Batch:
        """Whole short calls, in order of arrival, until the batch is full."""
        batch: _Batch = []
        n_texts, n_characters = self._batch_texts, BATCH_CHARACTERS
        while self._short:
            call = self._short[0]
            n_texts, n_characters = n_texts - len(call.texts), n_characters - sum(call.sizes)
            if batch and (n_texts < 0 or n_characters < 0):
                break
            batch.append((self._short.popleft(), call.take(len(call.texts), BATCH_CHARACTERS)))
        return batch

    def _chunk(self) -> _Batch:
        """A piece of the long call whose turn it is; the call then goes to the end of the line."""
        call = self._long.popleft()
        positions = call.take(self._batch_texts, BATCH_CHARACTERS)
        if not call.is_taken:
            self._long.append(call)
        return [(call, positions)]


class EmbeddingsStage:
    """Embeds texts on one engine thread. Implements `contracts.Embeddings`."""

    def __init__(self, args: EmbeddingsArgs, engine_class: type[EmbeddingsEngine] | None = None) -> None:
        make: Any = engine_class or engines.engine_class("embeddings", args.engine)
        self._args = args
        self._engine: EmbeddingsEngine = make(args)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embeddings")
        self._queue = _Queue(args.batch_texts)
        self._arrived = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._company_expected = False
        self._batch_started_s: float | None = None
        self._texts_per_s = 100.0
        self._meter = StageMeter(self._engine.card)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """L2-normalised vectors, float32, shape (len(texts), d).

        Texts are cut at the model's limit. An empty text has a valid vector, the model's for nothing at
        all. A cancelled call takes its remaining texts out of the queue.

        Raises:
            EmptyInput: no texts.
            TextTooLong: more than `max_texts` of them.
            StageBusy: more than `max_waiting` calls wait already.
            StageFailed: the engine failed.
        """
        self._check(texts)
        with self._meter.request() as running:
            call = _Call(texts)
            self._queue.add(call)
            self._wake()
            try:
                vectors = await call.answer
            finally:
                self._queue.discard(call)
                self._meter.n_waiting = len(self._queue)
            running.first_output()
            return vectors

    async def describe(self) -> StageReport:
        """The model's card and this replica's counters."""
        return self._meter.report()

    async def check_health(self) -> None:
        """Called by Serve.

        Raises:
            StageFailed: one batch has been running for a minute.
        """
        started_s = self._batch_started_s
        if started_s is not None and time.monotonic() - started_s > STUCK_S:
            raise StageFailed("embeddings", "The encoder hangs.", "Serve replaces this replica.")

    def _check(self, texts: Sequence[str]) -> None:
        if isinstance(texts, str):
            raise InputError("embed() got one string.", "Give a list of texts.")
        if len(texts) == 0:
            raise EmptyInput("There are no texts to embed.", "Give at least one.")
        if len(texts) > self._args.max_texts:
            raise TextTooLong(
                f"{len(texts):,} texts are over the limit of {self._args.max_texts:,} in one call.",
                "Send them in several calls.",
            )
        would_wait = self._batch_started_s is not None or len(self._queue) > 0
        if would_wait and len(self._queue) >= self._args.max_waiting:
            raise StageBusy(
                "embeddings",
                f"{len(self._queue)} calls wait for the embeddings stage already.",
                "Try again in a moment.",
                max(1.0, self._queue.n_texts / self._texts_per_s),
            )

    def _wake(self) -> None:
        self._meter.n_waiting = len(self._queue)
        self._arrived.set()
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())

    async def _work(self) -> None:
        while len(self._queue):
            await self._gather()
            batch = self._queue.take() if len(self._queue) else []
            self._meter.n_waiting = len(self._queue)
            self._company_expected = len(batch) > 1
            if batch:
                await self._run(batch)

    async def _gather(self) -> None:
        """Give other callers `batch_wait_ms` to join, if there were others a moment ago.

        A lone caller never waits: whoever comes while its batch runs shares the next one.
        """
        if not self._company_expected:
            return
        try:
            async with asyncio.timeout(self._args.batch_wait_ms / 1000):
                while not self._queue.has_full_batch:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return

    async def _run(self, batch: _Batch) -> None:
        texts = [call.texts[position] for call, positions in batch for position in positions]
        try:
            vectors = await self._embed(texts)
        except Exception as error:  # noqa: BLE001 -- whatever the engine raises belongs to the callers
            self._fail(batch, error)
            return
        start = 0
        for call, positions in batch:
            call.put(positions, vectors[start : start + len(positions)])
            start += len(positions)

    async def _embed(self, texts: list[str]) -> Vectors:
        self._batch_started_s = started_s = time.monotonic()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._engine.embed, texts)
        finally:
            self._batch_started_s = None
            self._texts_per_s = len(texts) / max(time.monotonic() - started_s, 1e-6)

    def _fail(self, batch: _Batch, error: Exception) -> None:
        for call, _ in batch:
            self._queue.discard(call)
            if not call.answer.done():
                call.answer.set_exception(error if isinstance(error, RaydioError) else _engine_failed(error))


def _engine_failed(error: Exception) -> StageFailed:
    failed = StageFailed(
        "embeddings", f"The embeddings engine failed: {type(error).__name__}.", "The replica's log has more."
    )
    failed.__cause__ = error
    return failed


def app(args: EmbeddingsArgs) -> Application:
    """The embeddings application of a Serve config."""
    return stage_deployment("embeddings", EmbeddingsStage, n_calls=args.max_waiting).bind(args)
