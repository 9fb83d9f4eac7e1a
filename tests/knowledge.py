"""A knowledge stage in this process, on SQLite and Milvus Lite, and documents in it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy.engine import URL

from serve_apps import database
from serve_apps.args import KnowledgeArgs
from serve_apps.contracts import Embeddings
from serve_apps.contracts_knowledge import Knowledge, SearchRequest
from serve_apps.knowledge import KnowledgeStage
from serve_apps.wire_knowledge import Document, NewDocument, Page, Passage, SearchMethod, SearchResult
from tests.fake_clients import card

MODEL = card("embeddings").model
"""What `FakeEmbeddings` calls itself."""


def made_knowledge(folder: Path) -> KnowledgeStage:
    """A stage with its catalogue in `folder` and Milvus Lite in RAYDIO_HOME; `close()` it in the end."""
    where = database.opened(URL.create("sqlite", database=str(folder / "knowledge.db")))
    return KnowledgeStage(KnowledgeArgs(), database=where)


async def added(  # noqa: PLR0917 -- who adds what where
    knowledge: Knowledge,
    embeddings: Embeddings,
    user: str,
    collection: str,
    name: str,
    text_pages: Sequence[str],
    *,
    tags: tuple[str, ...] = (),
    model: str = MODEL,
) -> Document:
    """Add a document whose pages are these texts, one passage a paragraph.

    Args:
        knowledge: the stage, or a client of it.
        embeddings: what makes the vectors.
        user: whose document it is.
        collection: id of the collection, or a name that is made if need be.
        name: the document's.
        text_pages: text of each page; paragraphs are parted by empty lines.
        tags: of the document.
        model: what made the vectors.
    """
    collection_id = await _collection_id(knowledge, user, collection)
    data = "\f".join(text_pages).encode(errors="replace")
    passages = _passages(text_pages)
    vectors = await embeddings.embed([passage.text for passage in passages])
    new = NewDocument(
        name=name,
        kind="text",
        media_type="text/plain",
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        tags=tags,
    )
    ticket = await knowledge.begin(user, collection_id, new, model, vectors.shape[1])
    if ticket.unchanged:
        return await knowledge.document(user, ticket.document_id)
    pages = [Page(number=number, text=text) for number, text in enumerate(text_pages, 1)]
    await knowledge.add_pages(ticket, pages, data)
    await knowledge.add_passages(ticket, passages, vectors)
    return await knowledge.commit(ticket)


async def searched(
    knowledge: Knowledge,
    embeddings: Embeddings,
    user: str,
    query: str,
    *,
    method: SearchMethod = "hybrid",
    **options: object,
) -> SearchResult:
    """Search with the query's own vector; `options` are fields of `SearchRequest`."""
    vector = (await embeddings.embed([query]))[0]
    request = SearchRequest(
        user=user,
        query=query,
        vector=vector,
        embedding_model=MODEL,
        method=method,
        **options,  # type: ignore[arg-type]
    )
    return await knowledge.search(request)


async def _collection_id(knowledge: Knowledge, user: str, collection: str) -> str:
    for one in await knowledge.collections(user):
        if collection in (one.id, one.name):
            return one.id
    return (await knowledge.create_collection(user, collection)).id


def _passages(text_pages: Sequence[str]) -> list[Passage]:
    found: list[Passage] = []
    for number, text in enumerate(text_pages, 1):
        start = 0
        for paragraph in text.split("\n\n"):
            if paragraph.strip():
                place = (start, start + len(paragraph))
                found.append(
                    Passage(index=len(found), text=paragraph, page=number, start=place[0], end=place[1])
                )
            start += len(paragraph) + 2
    return found
