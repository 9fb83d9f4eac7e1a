"""The search playground's handlers: one query in several columns, again when a setting changes."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from html import escape
from typing import Any

import gradio as gr

from serve_apps.contracts import Clients
from serve_apps.errors import EmptyInput, RaydioError, UnknownName
from ui import shell
from ui.column_cards import board, chat_link
from ui.library import chosen
from ui.playground_controls import MOST_HITS, Controls, Values, checked
from ui.search_columns import COLUMNS, Entry, Question, Ranking, key_of, rankings
from ui.stats import progress_line
from ui.user import user_of
from ui.work import Work

__all__ = ["Playground", "collection_search", "shown"]

Shown = tuple[Any, Any]
"""New values of: progress, columns."""


class Playground:
    """The handlers of the query and of its settings."""

    def __init__(self, clients: Clients, controls: Controls) -> None:
        self._clients = clients
        self._controls = controls
        self._work = Work()

    async def search(self, values: Values, request: gr.Request) -> AsyncGenerator[Shown, None]:
        """Show the columns."""
        with shell.shown():
            question = self._controls.asked(values, user_of(request))
            if not question.columns:
                raise EmptyInput("No way of searching is chosen.", "Choose at least one column.")
            found = self._found(question, float(values[self._controls.least]) or None)
            try:
                async with aclosing(self._work.of(request, found)) as steps:
                    silence: Any = gr.skip()  # a quick answer needs no progress, which would shift the page
                    async for batch in steps:
                        yield (_told(question), batch[-1]) if batch else (silence, gr.skip())
                        silence = progress_line("Searching")
            except RaydioError:
                yield "", gr.skip()
                raise

    async def again(self, values: Values, request: gr.Request) -> AsyncGenerator[Shown, None]:
        """The same after a setting changed; nothing while nothing was asked."""
        if not values[self._controls.query].strip() or not values[self._controls.columns]:
            return
        async with aclosing(self.search(values, request)) as updates:
            async for update in updates:
                yield update

    async def _found(self, question: Question, least: float | None) -> AsyncGenerator[str, None]:
        collections = await chosen(self._clients.knowledge, question.user, question.collections)
        found = await rankings(self._clients, question)
        yield shown(question, found, [collection.id for collection in collections], least)


def _told(question: Question) -> str:
    """For those who hear the page."""
    names = ", ".join(column.name for column in question.columns)
    return f'<p class="ray-hidden" role="status">Found, side by side: {escape(names)}.</p>'


def shown(question: Question, found: Sequence[Ranking], ids: Sequence[str], least: float | None) -> str:
    """The board with what its script must know: the query and the collections."""
    ways = [ranking for ranking in found if ranking.column.key in COLUMNS]
    links = {ranking.column.key: chat_link(ranking, ids, question.k, least) for ranking in ways}
    data = f'data-query="{escape(question.query)}" data-collections="{escape(json.dumps(list(ids)))}"'
    return f'<div class="ray-board" {data}>{board(found, links, min_score=least)}</div>'


def collection_search(clients: Clients) -> Callable[..., Awaitable[list[dict[str, Any]]]]:
    """The function behind the named API endpoint `/collection_search`."""

    async def search(  # noqa: PLR0917 -- a program names them
        request: gr.Request,
        query: str,
        collections: list[str] | None = None,
        method: str = "hybrid",
        k: int = 10,
        rerank: bool = False,
    ) -> list[dict[str, Any]]:
        """The `k` best passages of the collections (ids; none: all that you may read), best first."""
        with shell.told():
            column = COLUMNS.get(f"{method}-rerank" if rerank else method)
            if column is None:
                raise UnknownName(f"There is no method {method!r}.", "Choose dense, bm25 or hybrid.")
            question = Question(
                user=user_of(request),
                query=checked(query),
                columns=(column,),
                collections=tuple(collections or ()),
                k=max(1, min(MOST_HITS, k)),
            )
            found = (await rankings(clients, question))[0]
        return [_plain(entry) for entry in found.entries]

    return search


def _plain(entry: Entry) -> dict[str, Any]:
    hit = entry.hit
    return {
        "passage": key_of(hit),
        "document": hit.document.name,
        "page": hit.passage.page,
        "start": hit.passage.start,
        "end": hit.passage.end,
        "headings": list(hit.passage.headings),
        "text": hit.passage.text,
        "score": round(entry.score, 6),
        "cosine": hit.cosine,
        "bm25": hit.bm25,
        "dense_rank": hit.dense_rank,
        "bm25_rank": hit.bm25_rank,
    }
