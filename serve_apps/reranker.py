"""The reranker stage: which passages answer a query best."""

# No `from __future__ import annotations`: Serve checks `args:` only against an annotation that is a class.

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ray.serve import Application

from serve_apps import engines
from serve_apps.args import RerankerArgs
from serve_apps.contracts import RerankerEngine
from serve_apps.errors import EmptyInput, RaydioError, StageBusy, StageFailed, TextTooLong
from serve_apps.metrics import StageMeter
from serve_apps.stage_deployment import stage_deployment
from serve_apps.wire import QueryVector, Ranked, StageReport

__all__ = ["RerankerStage", "app"]

CHUNK_PASSAGES = 16
"""Passages that one caller has scored before the next caller's turn."""
STUCK_S = 60.0
"""A chunk that runs this long has hung: the health check fails and Serve replaces the replica."""


class RerankerStage:
    """Ranks passages on one engine thread, callers taking turns. Implements `contracts.Reranker`."""

    def __init__(self, args: RerankerArgs, engine_class: type[RerankerEngine] | None = None) -> None:
        make: Any = engine_class or engines.engine_class("reranker", args.engine)
        self._args = args
        self._engine: RerankerEngine = make(args)
        # The executor's queue is first come, first served: with one chunk each in it, callers alternate.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reranker")
        self._chunk_started_s: float | None = None
        self._meter = StageMeter(self._engine.card)

    async def rank(
        self,
        query: str,
        passages: Sequence[str],
        top_n: int | None = None,
        vector: QueryVector | None = None,
    ) -> list[Ranked]:
        """The best `top_n` passages (all by default), best first; of equals the earlier first.

        A cancelled call stops after the chunk that is being scored. `vector` is the query's, where the caller
        has it; only engines of the very same embedding model use it.

        Raises:
            EmptyInput: the query is blank, or there are no passages.
            TextTooLong: more than `max_passages`.
            StageBusy: more than `max_waiting` calls wait already.
            StageFailed: the engine failed.
        """
        self._check(query, passages)
        with self._meter.request() as running:
            scores: list[float] = []
            for start in range(0, len(passages), CHUNK_PASSAGES):
                scores += await self._score(query, passages[start : start + CHUNK_PASSAGES], vector)
                running.first_output()
        order = sorted(range(len(scores)), key=lambda index: -scores[index])
        return [Ranked(index=index, score=scores[index]) for index in order[:top_n]]

    async def describe(self) -> StageReport:
        """The model's card and this replica's counters."""
        self._meter.n_waiting = self._n_waiting
        return self._meter.report()

    async def check_health(self) -> None:
        """Called by Serve.

        Raises:
            StageFailed: one chunk has been running for a minute.
        """
        started_s = self._chunk_started_s
        if started_s is not None and time.monotonic() - started_s > STUCK_S:
            raise StageFailed("reranker", "The reranker hangs.", "Serve replaces this replica.")

    @property
    def _n_waiting(self) -> int:
        return max(0, self._meter.n_running - 1)

    def _check(self, query: str, passages: Sequence[str]) -> None:
        if not query.strip():
            raise EmptyInput("The query is empty.", "Say what to look for.")
        if len(passages) == 0:
            raise EmptyInput("There are no passages to rank.", "Give at least one.")
        if len(passages) > self._args.max_passages:
            raise TextTooLong(
                f"{len(passages):,} passages are over the limit of {self._args.max_passages:,} in one call.",
                "Rank the best ones of a search.",
            )
        if self._meter.n_running > self._args.max_waiting:
            raise StageBusy(
                "reranker",
                f"{self._n_waiting} calls wait for the reranker stage already.",
                "Try again in a moment.",
                1.0,
            )

    async def _score(self, query: str, passages: Sequence[str], vector: QueryVector | None) -> list[float]:
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._thread, self._timed, query, passages, vector
            )
        except RaydioError:
            raise
        except Exception as error:  # whatever the engine's library raises, callers get one type
            raise StageFailed(
                "reranker",
                f"The reranker engine failed: {type(error).__name__}.",
                "The replica's log has more.",
            ) from error

    def _timed(self, query: str, passages: Sequence[str], vector: QueryVector | None) -> list[float]:
        self._chunk_started_s = time.monotonic()
        try:
            return self._engine.score(query, passages, vector)
        finally:
            self._chunk_started_s = None


def app(args: RerankerArgs) -> Application:
    """The reranker application of a Serve config."""
    return stage_deployment("reranker", RerankerStage, n_calls=args.max_waiting).bind(args)
