"""The handlers of the embeddings page and its two API endpoints."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import gradio as gr

from serve_apps.contracts import Clients
from serve_apps.errors import EmptyInput, RaydioError, TextTooLong
from serve_apps.settings import ASSETS
from serve_apps.wire import Vectors
from ui import charts, exports, neighbours, shell
from ui.lines import LineVectors, checked, split, taken
from ui.stats import milliseconds, model_chip, progress_line, stat_line
from ui.work import Work

__all__ = ["EXAMPLES", "MOST_HITS", "N_AT_ONCE", "Explorer", "example", "search", "similarity"]

N_AT_ONCE = 16
"""Handlers at work at the same time; the stage batches what they ask for."""
MATRIX_LINES = 1_000
"""Lines of one `/similarity` call: a million numbers."""
MOST_HITS = 100
EXAMPLES = {
    "Support questions": ("support", "I can't get into my account"),
    "Headlines": ("headlines", "bad weather"),
    "Words": ("words", "something you play music on"),
}
"""Name on the button to (file in assets/samples, a query that fits)."""
NO_QUERY = EmptyInput("There is no query.", "Type what to look for, in your own words.")

Shown = tuple[Any, ...]
"""New values of the page's outputs: progress, Stop, map, heat map, fingerprint of the lines in both."""
Found = tuple[Any, ...]
"""New values of the hits, followed by those of `Shown`."""


class Explorer:
    """What the page's buttons do. Generators: closing one stops the embedding, and so does Stop."""

    def __init__(self, clients: Clients, vectors: LineVectors) -> None:
        self._clients = clients
        self._vectors = vectors
        self._showing, self._finding = Work(), Work()

    async def show(self, text: str, request: gr.Request) -> AsyncGenerator[Shown, None]:
        """Embed the lines and draw both charts."""
        steps = self._showing.of(request, self._show(text), at_stop=[STOPPED])
        async with aclosing(_guarded(steps, idle())) as updates:
            async for update in updates:
                yield update

    async def find(  # noqa: PLR0917 (Gradio passes values by position)
        self, text: str, query: str, k: float, rerank: bool, shown_lines: str, request: gr.Request
    ) -> AsyncGenerator[Found, None]:
        """Show the nearest lines; then the charts, if they show other lines."""
        found = self._find(text, query, int(k), shown_lines, rerank=rerank)
        steps = self._finding.of(request, found, at_stop=[(gr.skip(), *STOPPED)])
        async with aclosing(_guarded(steps, (gr.skip(), *idle()))) as updates:
            async for update in updates:
                yield update

    async def find_again(  # noqa: PLR0917 (Gradio passes values by position)
        self, text: str, query: str, k: float, rerank: bool, shown_lines: str, request: gr.Request
    ) -> AsyncGenerator[Found, None]:
        """The same after a setting changed; nothing while there is nothing to search."""
        if not query.strip() or not text.strip():
            return
        async with aclosing(self.find(text, query, k, rerank, shown_lines, request)) as updates:
            async for update in updates:
                yield update

    async def stop(self, request: gr.Request) -> None:
        """End what this tab has under way; what is there stays."""
        self._showing.stop(request)
        self._finding.stop(request)

    async def save(self, text: str, choice: str) -> tuple[Any, str]:
        """Write a file and offer it."""
        with shell.shown():
            lines = split(text)
            card = await self._vectors.card()
            vectors = await self._vectors.of(lines)
            path = await asyncio.to_thread(exports.written, choice, lines, vectors, card.model)
        return gr.update(value=str(path)), note(f"{choice}: {len(lines):,} lines.")

    async def _show(self, text: str) -> AsyncGenerator[Shown, None]:
        lines = split(text)
        async with aclosing(self._embed(lines)) as updates:
            async for update in updates:
                yield update
        yield await self._draw(lines, await self._vectors.of(lines))

    async def _find(
        self, text: str, query: str, k: int, shown_lines: str, *, rerank: bool
    ) -> AsyncGenerator[Found, None]:
        if not query.strip():
            raise NO_QUERY
        lines = split(text)
        async with aclosing(self._embed(lines)) as updates:
            async for update in updates:
                yield gr.skip(), *update
        vectors = await self._vectors.of(lines)
        answer = await self._answer(lines, vectors, query, k, rerank=rerank)
        if charts.fingerprint(lines) == shown_lines:
            yield answer, *idle(await self._facts(lines, vectors))
            return
        yield answer, *busy("Drawing")
        yield gr.skip(), *await self._draw(lines, vectors)

    async def _embed(self, lines: list[str]) -> AsyncGenerator[Shown, None]:
        label = f"Embedding {_count(lines)}"
        yield busy(label, 0.0)
        async with aclosing(self._vectors.fetch(lines)) as steps:
            async for n_done in steps:
                yield busy(label, n_done / len(lines))

    async def _draw(self, lines: list[str], vectors: Vectors) -> Shown:
        flat_map, heat = await asyncio.to_thread(charts.picture, lines, vectors)
        facts = await self._facts(lines, vectors)
        return facts, gr.update(interactive=False), flat_map, heat, flat_map["of"]

    async def _facts(self, lines: list[str], vectors: Vectors) -> str:
        facts = stat_line({"lines": f"{len(lines):,}", "dimensions": str(vectors.shape[1])})
        return f'<div class="ray-made" role="status">{facts}{model_chip(await self._vectors.card())}</div>'

    async def _answer(self, lines: list[str], vectors: Vectors, query: str, k: int, *, rerank: bool) -> str:
        stats: dict[str, str] = {}
        asked = self._clients.embeddings.embed([query.strip()])
        query_vector = (await _timed(stats, "embed query", asked))[0]
        n = max(k, neighbours.CANDIDATES) if rerank else k
        started_s = time.perf_counter()
        hits = neighbours.nearest(lines, vectors, query_vector, n)
        stats[f"search {_count(lines)}"] = milliseconds((time.perf_counter() - started_s) * 1000)
        if rerank:
            hits = await _timed(stats, "rerank", neighbours.reranked(self._clients.reranker, query, hits))
        return neighbours.html(query, hits[:k], stats, charts.fingerprint(lines))


def example(name: str) -> Callable[[], tuple[str, str]]:
    """The handler of an example's button: its lines and its query."""
    file, query = EXAMPLES[name]
    return lambda: ((ASSETS / "samples" / f"embeddings_{file}.txt").read_text("utf-8").strip(), query)


def idle(progress: Any = "") -> Shown:
    """Nothing under way; the charts stay."""
    return progress, gr.update(interactive=False), gr.skip(), gr.skip(), gr.skip()


def busy(label: str, done: float | None = None) -> Shown:
    """Something under way, which Stop can stop."""
    return progress_line(label, done), gr.update(interactive=True), gr.skip(), gr.skip(), gr.skip()


def note(text: str) -> str:
    """A line where the progress was."""
    return f'<p class="ray-quiet" role="status">{text}</p>'


STOPPED = idle(note("Stopped. What was embedded so far is kept, so the next try starts there."))


def similarity(vectors: LineVectors) -> Callable[[list[str]], Awaitable[list[list[float]]]]:
    """The function behind the named API endpoint `/similarity`."""

    async def matrix(lines: list[str]) -> list[list[float]]:
        """Cosine of every line with every other: rows and columns in the order of `lines`."""
        with shell.told():
            given = taken(lines)
            checked(given)
            if len(given) > MATRIX_LINES:
                raise TextTooLong(
                    f"{len(given):,} lines are over the limit of {MATRIX_LINES:,} for a matrix.",
                    "Send fewer lines.",
                )
            found = await vectors.of(given)
        similarities: list[list[float]] = (found @ found.T).astype(float).round(4).tolist()
        return similarities

    return matrix


def search(clients: Clients, vectors: LineVectors) -> Callable[..., Awaitable[list[dict[str, Any]]]]:
    """The function behind the named API endpoint `/search`."""

    async def ranked(lines: list[str], query: str, k: int = 10, rerank: bool = False) -> list[dict[str, Any]]:
        """The `k` lines nearest to the query, best first: index, text, cosine, and score if reranked."""
        with shell.told():
            sent = taken(lines)
            kept = checked(sent)
            if not query.strip():
                raise NO_QUERY
            found = await vectors.of(kept)
            query_vector = (await clients.embeddings.embed([query.strip()]))[0]
            n = max(k, neighbours.CANDIDATES) if rerank else max(1, k)
            hits = neighbours.nearest(kept, found, query_vector, n)
            if rerank:
                hits = await neighbours.reranked(clients.reranker, query, hits)
        given = [index for index, line in enumerate(sent) if line.strip()]
        return [_plain(hit, given) for hit in hits[: max(1, k)]]

    return ranked


def _plain(hit: neighbours.Hit, given: list[int]) -> dict[str, Any]:
    """A hit for a program; `given` maps its place among lines with text to its place among all."""
    fields = {"index": given[hit.index], "text": hit.text, "cosine": round(hit.cosine, 4)}
    return fields if hit.score is None else {**fields, "score": round(hit.score, 4)}


async def _guarded(steps: AsyncGenerator[list[Shown], None], reset: Shown) -> AsyncGenerator[Shown, None]:
    """The updates, nothing new in silence; an error first puts the page at rest, then is shown."""
    unchanged = tuple(gr.skip() for _ in reset)
    with shell.shown():
        try:
            async with aclosing(steps):
                async for batch in steps:
                    for update in batch or [unchanged]:
                        yield update
        except RaydioError:
            yield reset
            raise


async def _timed(stats: dict[str, str], name: str, work: Awaitable[Any]) -> Any:
    started_s = time.perf_counter()
    result = await work
    stats[name] = milliseconds((time.perf_counter() - started_s) * 1000)
    return result


def _count(lines: list[str]) -> str:
    return "1 line" if len(lines) == 1 else f"{len(lines):,} lines"
