"""Row 11: how many tabs can be open before a page fails.

Measured: each tab loads the chat page and holds what a browser holds for it, its heartbeat stream. After
every ten tabs a fresh page must answer within five seconds; the count stops at the first that does not,
or at the largest number tried. Then the time of that fresh page, with no tab and with all of them open.
Floor: Gradio's own ChatInterface. Product: Raydio's chat page. Units: tabs, ms. Gate: at least 200 tabs.
"""

from __future__ import annotations

import asyncio
import statistics
import time
import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass

from benchmarks.bench import MOCK, Bench
from benchmarks.raw_http import Connection, Target
from benchmarks.result import Gate, RowResult, counted

ROW = 11
TITLE = "Open tabs"
MOST_TABS = 300
STEP = 10
PAGE_TIMEOUT_S = 5.0
FAILURES = (OSError, asyncio.IncompleteReadError, TimeoutError)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tabs:
    n_open: int
    alone_ms: float
    crowded_ms: float


def run(bench: Bench) -> RowResult:
    """Open tabs on both pages, one page after the other."""
    most = MOST_TABS // 10 if bench.quick else MOST_TABS
    pages = {"plain Gradio": bench.plain_gradio(), "raydio": bench.product(MOCK).target.page("/ui/chat")}
    tabs = {name: asyncio.run(_open_tabs(page, most)) for name, page in pages.items()}
    gate = Gate(text="≥ 200 tabs", value=tabs["raydio"].n_open, limit=200, at_most=False)
    counts = {name: [float(t.n_open)] for name, t in tabs.items()}
    alone = {name: [t.alone_ms] for name, t in tabs.items()}
    crowded = {name: [t.crowded_ms] for name, t in tabs.items()}
    return RowResult(
        row=ROW,
        title=TITLE,
        measures=(
            counted(f"open tabs, of {most} tried", "tabs", "higher", systems=counts, gates=(gate,)),
            counted("a fresh page, no tab open", "ms", "lower", systems=alone),
            counted("a fresh page, all tabs open", "ms", "lower", systems=crowded),
        ),
    )


async def _open_tabs(page: Target, most: int) -> _Tabs:
    async with AsyncExitStack() as stack:
        alone_ms = await _page_ms(page)
        crowded_ms, n_open = alone_ms, 0
        try:
            while n_open < most:
                async with asyncio.timeout(STEP * PAGE_TIMEOUT_S):
                    await asyncio.gather(*(_tab(page, stack) for _ in range(STEP)))
                crowded_ms = await _page_ms(page)
                n_open += STEP
        except FAILURES:
            crowded_ms = float("nan")
        return _Tabs(n_open=n_open, alone_ms=alone_ms, crowded_ms=crowded_ms)


async def _tab(page: Target, stack: AsyncExitStack) -> None:
    """Load the page, then hold its heartbeat until the stack closes."""
    connection = await stack.enter_async_context(Connection(page))
    await connection.ask("GET", "/")
    await connection.send("GET", f"/gradio_api/heartbeat/{uuid.uuid4().hex[:10]}")
    await connection.head()


async def _page_ms(page: Target) -> float:
    """Median time of a fresh page, on a connection of its own each time."""
    return statistics.median([await _load_ms(page) for _ in range(5)])


async def _load_ms(page: Target) -> float:
    started = time.perf_counter()
    async with asyncio.timeout(PAGE_TIMEOUT_S), Connection(page) as connection:
        await connection.ask("GET", "/")
    return (time.perf_counter() - started) * 1000
