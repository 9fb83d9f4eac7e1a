"""Two embedding models on the same passages: rankings side by side, and how far they agree."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
import numpy as np

from serve_apps.contracts import Clients
from serve_apps.errors import EmptyInput, RaydioError, UnknownName
from serve_apps.wire import Vectors
from serve_apps.wire_knowledge import Hit
from ui import shell
from ui.comparison import MOST_PASSAGES, heat_of
from ui.library import chosen
from ui.playground import shown
from ui.playground_controls import Controls, Values
from ui.search_columns import COLUMNS, Column, Entry, Question, Ranking, key_of, rankings
from ui.stats import progress_line, stat_line
from ui.user import user_of
from ui.work import Work

__all__ = ["HOW_TO", "ModelComparison", "agreement"]

N_JUDGED = 40
"""Passages that both models rank."""
SNIPPET = """- name: embeddings-2
  route_prefix: null
  import_path: serve_apps.embeddings:app
  args: {engine: sentence_transformers, model: BAAI/bge-small-en-v1.5}"""
HOW_TO = (
    '<details class="ray-how-to"><summary>Only one embedding model is deployed. To compare two, add another '
    f"application to the Serve config.</summary><pre>{SNIPPET}</pre></details>"
)
Shown = tuple[Any, ...]
"""New values of: progress, result, first heat map, second heat map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelColumn(Column):
    """What one model makes of the passages."""

    title: str

    @property
    def key(self) -> str:
        """See `Column.key`."""
        return f"model-{self.title}"

    @property
    def name(self) -> str:
        """See `Column.name`."""
        return self.title


class ModelComparison:
    """The handlers of the models' section."""

    def __init__(self, clients: Clients, controls: Controls) -> None:
        self._clients = clients
        self._controls = controls
        self._work = Work()

    async def opened(self) -> tuple[Any, Any, Any, Any]:
        """Which models there are: how to add one, the controls, and the two choices."""
        names = await self._names()
        several = len(names) > 1
        first, second = (names[0], names[1]) if several else (None, None)
        return (
            gr.update(visible=not several),
            gr.update(visible=several),
            gr.update(choices=names, value=first),
            gr.update(choices=names, value=second),
        )

    def compare(
        self, first: gr.Dropdown, second: gr.Dropdown
    ) -> Callable[[Values, gr.Request], AsyncGenerator[Shown, None]]:
        """The handler of the button: the models are the two choices' values."""

        async def compared(values: Values, request: gr.Request) -> AsyncGenerator[Shown, None]:
            nothing = tuple(gr.skip() for _ in range(3))
            with shell.shown():
                question = self._controls.asked(values, user_of(request))
                names = await self._known(str(values[first]), str(values[second]))
                yield progress_line("Embedding with both models"), *nothing
                try:
                    async with aclosing(self._work.of(request, self._compared(question, names))) as steps:
                        async for batch in steps:
                            yield ("", *batch[-1]) if batch else (gr.skip(), *nothing)
                except RaydioError:
                    yield "", *nothing
                    raise

        return compared

    async def _known(self, first: str, second: str) -> tuple[str, str]:
        """Names that the browser sent, if such applications run."""
        if missing := {first, second} - set(await self._names()):
            raise UnknownName(f"There is no model {min(missing)!r} here.", "Reload the page.")
        return first, second

    async def _names(self) -> list[str]:
        """The embedding applications, the one that the product uses first."""
        try:
            found = [each.name for each in await self._clients.cluster.applications()]
        except RaydioError:
            return []
        return sorted(name for name in found if name.split("-")[0] == "embeddings")

    async def _compared(self, question: Question, names: tuple[str, str]) -> AsyncGenerator[Shown, None]:
        hits = await self._hits(question)
        texts = [hit.passage.text for hit in hits]
        both = await asyncio.gather(*(self._judged(name, question, hits, texts) for name in names))
        top = {key_of(e.hit): e.hit for ranking in both for e in ranking.entries[: question.k]}
        top_texts = [hit.passage.text for hit in top.values()][:MOST_PASSAGES]
        heats = await asyncio.gather(
            *(heat_of(self._clients.embeddings_of(name), top_texts) for name in names)
        )
        ids = [
            found.id for found in await chosen(self._clients.knowledge, question.user, question.collections)
        ]
        cut = [replace(ranking, entries=ranking.entries[: question.k]) for ranking in both]
        yield agreement(both[0], both[1], question.k) + shown(question, cut, ids, None), *heats

    async def _hits(self, question: Question) -> list[Hit]:
        """What either search finds: passages that both models are then asked about."""
        wide = replace(question, columns=(COLUMNS["hybrid"], COLUMNS["bm25"]), k=N_JUDGED)
        found = await rankings(self._clients, wide)
        hits = {key_of(entry.hit): entry.hit for ranking in found for entry in ranking.entries}
        if not hits:
            raise EmptyInput("The query finds nothing to compare.", "Ask for something else.")
        return list(hits.values())[:N_JUDGED]

    async def _judged(
        self, name: str, question: Question, hits: Sequence[Hit], texts: Sequence[str]
    ) -> Ranking:
        vectors = await self._clients.embeddings_of(name).embed([question.query, *texts])
        return _ranking(name, hits, vectors)


def _ranking(name: str, hits: Sequence[Hit], vectors: Vectors) -> Ranking:
    cosines = vectors[1:] @ vectors[0]
    order = np.argsort(-cosines, kind="stable")
    entries = tuple(
        Entry(
            hit=Hit(
                passage=hits[i].passage,
                document=hits[i].document,
                score=float(cosines[i]),
                cosine=float(cosines[i]),
            ),
            score=float(cosines[i]),
        )
        for i in order
    )
    return Ranking(column=ModelColumn(method="dense", title=name), entries=entries)


def agreement(one: Ranking, other: Ranking, k: int) -> str:
    """How far two rankings of the same passages agree, as a line of facts."""
    ranks = {key_of(entry.hit): rank for rank, entry in enumerate(other.entries)}
    theirs = [ranks[key_of(entry.hit)] for entry in one.entries]
    shared = sum(rank < k for rank in theirs[:k])
    facts = {
        f"of the first {min(k, len(theirs))} in both": str(shared),
        f"rank correlation of {len(theirs)}": f"{_spearman(theirs):.2f}",
        "same first": "yes" if theirs and theirs[0] == 0 else "no",
    }
    return f'<div class="ray-agreement" data-overlap="{shared}">{stat_line(facts)}</div>'


def _spearman(theirs: Sequence[int]) -> float:
    """Correlation of places 0, 1, 2 … with `theirs`, which hold the same numbers."""
    n = len(theirs)
    if n < 2:  # noqa: PLR2004 - one place cannot differ
        return 1.0
    apart = sum((mine - their) ** 2 for mine, their in enumerate(theirs))
    return 1 - 6 * apart / (n * (n * n - 1))
