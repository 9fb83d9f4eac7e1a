"""Which collections the page looks into: what is in them, and whose model made their vectors."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from serve_apps.contracts import Clients
from serve_apps.contracts_knowledge import Knowledge
from serve_apps.errors import NotFound, RaydioError
from serve_apps.wire_knowledge import Collection, Document
from ui.shell import error_html
from ui.user import user_of

__all__ = ["Contents", "Library", "chosen"]

MOST_CHOICES = 2_000
"""Documents in the filter's list."""
EMPTY = (
    '<div class="ray-library-empty"><p><b>No documents yet.</b></p><p>Add yours on the '
    '<a href="../chat/">chat page</a>, or look around with a few sample documents.</p></div>'
)
Shown = tuple[Any, ...]
"""New values of: collections, facts, document, kind and tag filters, Index again, sample, what is below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What is in the collections that were chosen."""

    readable: list[Collection]
    collections: list[Collection]
    documents: list[Document]
    n_vectors: list[int]
    """Of each collection, counted in the store."""
    model: str
    """What embeds now; empty while that is not known."""

    def outdated(self) -> list[Collection]:
        """Collections whose vectors came from another model than the one that runs."""
        return [
            found
            for found in self.collections
            if self.model and found.embedding_model not in ("", self.model) and found.n_passages
        ]


async def chosen(knowledge: Knowledge, user: str, ids: Sequence[str]) -> list[Collection]:
    """The user's collections of these ids; all readable ones for none.

    Raises:
        NotFound: one of them is not there for this user.
    """
    readable = {found.id: found for found in await knowledge.collections(user)}
    if missing := set(ids) - readable.keys():
        raise NotFound(f"There is no collection {min(missing)!r}.", "Reload the page for those there are.")
    return [readable[found] for found in dict.fromkeys(ids)] if ids else list(readable.values())


class Library:
    """The handlers of the row at the top."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    async def opened(self, request: gr.Request) -> Shown:
        """When the page opens: every collection that has documents."""
        return await self._shown(user_of(request), None)

    async def changed(self, ids: list[str] | None, request: gr.Request) -> Shown:
        """When others are chosen, or something was added."""
        return await self._shown(user_of(request), ids or [])

    async def contents(self, user: str, ids: Sequence[str] | None) -> Contents:
        """What is in the chosen collections; None chooses those with documents."""
        knowledge = self._clients.knowledge
        readable = await knowledge.collections(user)
        wanted = [found.id for found in readable if found.n_documents] if ids is None else list(ids)
        collections = await chosen(knowledge, user, wanted)
        documents = await asyncio.gather(*(knowledge.documents(user, found.id) for found in collections))
        counts = await asyncio.gather(*(knowledge.n_vectors(user, found.id) for found in collections))
        return Contents(
            readable=readable,
            collections=collections,
            documents=[document for some in documents for document in some],
            n_vectors=list(counts),
            model=await self._model(),
        )

    async def _model(self) -> str:
        try:
            return (await self._clients.embeddings.describe()).card.model
        except RaydioError:
            return ""  # the header says what is wrong with it

    async def _shown(self, user: str, ids: Sequence[str] | None) -> Shown:
        try:
            contents = await self.contents(user, ids)
        except RaydioError as error:
            skipped = [gr.skip() for _ in range(6)]
            return gr.skip(), f'<p class="ray-quiet" role="status">{error_html(error)}</p>', *skipped
        return _updates(contents, user, chosen_now=ids is None)


def _updates(contents: Contents, user: str, *, chosen_now: bool) -> Shown:
    choices = [(_label(found, user), found.id) for found in contents.readable]
    value: dict[str, Any] = {"value": [found.id for found in contents.collections]} if chosen_now else {}
    documents = [(document.name, document.id) for document in contents.documents[:MOST_CHOICES]]
    filled = bool(contents.documents)
    nothing = not any(found.n_documents for found in contents.readable)
    return (
        gr.update(choices=choices, visible=not nothing, **value),
        _facts(contents) if filled else EMPTY,
        gr.update(choices=documents, value=[]),
        gr.update(choices=sorted({document.kind for document in contents.documents}), value=[]),
        gr.update(
            choices=sorted({tag for document in contents.documents for tag in document.tags}), value=[]
        ),
        gr.update(visible=bool(contents.outdated())),
        gr.update(visible=nothing),
        gr.update(visible=filled),
    )


def _label(collection: Collection, user: str) -> str:
    if collection.owner != user:
        return f"{collection.name} (of {collection.owner})"
    return f"{collection.name} (shared)" if collection.shared else collection.name


def _facts(contents: Contents) -> str:
    rows = "".join(map(_row, contents.collections, contents.n_vectors))
    head = "".join(
        f'<th scope="col">{name}</th>'
        for name in ("Collection", "Documents", "Passages", "Vectors in the store", "Embedded by")
    )
    table = f'<table class="ray-library"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return f'<div class="ray-table">{table}</div>{_mismatch(contents)}'


def _row(collection: Collection, n_vectors: int) -> str:
    cells = (
        ("Documents", f"{collection.n_documents:,}"),
        ("Passages", f"{collection.n_passages:,}"),
        ("Vectors in the store", f"{n_vectors:,}"),
        ("Embedded by", escape(collection.embedding_model) or "\u2013"),
    )
    data = "".join(f'<td data-label="{name}">{value}</td>' for name, value in cells)
    return f'<tr><th scope="row" dir="auto">{escape(collection.name)}</th>{data}</tr>'


def _mismatch(contents: Contents) -> str:
    outdated = contents.outdated()
    if not outdated:
        return ""
    names = ", ".join(found.name for found in outdated)
    models = ", ".join(sorted({found.embedding_model for found in outdated}))
    return (
        f'<p class="ray-library-old" role="alert"><b dir="auto">{escape(names)}</b> was embedded by '
        f"{escape(models)}, and {escape(contents.model)} runs now: only BM25 can search it. "
        "Index it again to search by meaning.</p>"
    )
