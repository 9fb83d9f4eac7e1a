"""The heat map of chosen passages: asked by the page's script, answered with the data that it draws."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import gradio as gr
import numpy as np

from serve_apps.contracts import Clients, Embeddings
from serve_apps.errors import InputError, NotFound, RaydioError
from serve_apps.wire_knowledge import Passage
from ui import charts
from ui.excerpts import excerpt
from ui.shell import error_html
from ui.user import user_of

__all__ = ["MOST_PASSAGES", "compare", "heat_of"]

MOST_PASSAGES = 40
SHOWN_CHARACTERS = 120
Named = tuple[str, int]
"""A passage: document id and index."""


def compare(clients: Clients) -> Callable[[Any, gr.Request], Awaitable[dict[str, Any]]]:
    """The function that the page's scripts call: `[{document, index}]` to a heat map's data."""

    async def compared(sent: Any, request: gr.Request) -> dict[str, Any]:
        """Similarities of the passages, which the user must be able to read."""
        try:
            user = user_of(request)
            named = _named(sent)
            passages = await asyncio.gather(*(_passage(clients, user, *each) for each in named))
            return {"heat": await heat_of(clients.embeddings, [passage.text for passage in passages])}
        except RaydioError as error:
            return {"error": error_html(error)}

    return compared


async def heat_of(embeddings: Embeddings, texts: Sequence[str]) -> dict[str, Any]:
    """A heat map's data: the texts embedded and compared with each other."""
    vectors = await embeddings.embed(list(texts))
    names = [excerpt(text, SHOWN_CHARACTERS) for text in texts]
    return charts.heat(names, vectors, np.zeros(len(names), np.int64))


def _named(sent: Any) -> list[Named]:
    match sent:
        case [_, _, *_] if len(sent) <= MOST_PASSAGES:
            return [_one(each) for each in sent]
        case _:
            raise InputError(
                "Passages cannot be compared like this.", f"Choose 2 to {MOST_PASSAGES} of them."
            )


def _one(sent: Any) -> Named:
    match sent:
        case {"document": str(document_id), "index": int(index)}:
            return document_id, index
        case _:
            raise NotFound("There is no such passage.", "Reload the page.")


async def _passage(clients: Clients, user: str, document_id: str, index: int) -> Passage:
    found = await clients.knowledge.neighbours(user, document_id, index, 0, 0)
    if not found:
        raise NotFound("A passage is gone.", "Its document was replaced: take it out of the comparison.")
    return found[0]
