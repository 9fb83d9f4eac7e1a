"""What can be said about one passage and one query: asked of every stage at once."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace
from typing import Any

from serve_apps.contracts import Clients
from serve_apps.errors import EmbeddingMismatch, NotFound, StageError
from serve_apps.wire import Ranked
from serve_apps.wire_knowledge import Document, Filters, Hit, Passage
from ui.search_columns import COLUMNS, Question, rankings
from ui.term_weights import CollectionWords, WordStatistics

__all__ = ["DEEP", "Evidence", "evidence", "sentences"]

DEEP = 100
"""How far down the rankings a passage is looked for."""
MOST_SENTENCES = 40
MOST_CHARACTERS = 2000
"""Of a query."""
_BREAK = re.compile(r"(?<=[.!?])\s+|\n\s*\n|\n(?=\s*[-*#\d\u2022])")
"""After a full stop, before a new paragraph or a list's next item: a line's end alone ends no sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of one passage and one query."""

    query: str
    document: Document
    passage: Passage
    around: list[Passage]
    hit: Hit | None = None
    statistics: WordStatistics | None = None
    """Of its collection."""
    best: tuple[str, float] | None = None
    """The sentence that the reranker likes most, and its score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One passage, as a page's script names it."""

    query: str
    document_id: str
    index: int
    collections: tuple[str, ...]
    """Where the search looked; empty: in the passage's own collection."""


async def evidence(clients: Clients, counted: CollectionWords, sent: Any, user: str) -> Evidence:
    """What is known of the passage `{query, document, index, collections}`.

    Raises:
        NotFound: there is none for this user.
    """
    asked = _asked(sent)
    document, around = await asyncio.gather(
        clients.knowledge.document(user, asked.document_id),
        clients.knowledge.neighbours(user, asked.document_id, asked.index),
    )
    passage = next((found for found in around if found.index == asked.index), None)
    if passage is None:
        raise NotFound("The passage is gone.", "Its document was replaced: search again.")
    known = Evidence(query=asked.query, document=document, passage=passage, around=around)
    if not asked.query:
        return known
    hit, statistics, best = await asyncio.gather(
        _hit(clients, user, asked, document),
        counted.of(user, document.collection_id),
        _best_sentence(clients, asked.query, passage.text),
    )
    return replace(known, hit=hit, statistics=statistics, best=best)


def _asked(sent: Any) -> Asked:
    """The request's fields; what is not of their kind names no passage."""
    match sent:
        case {"query": str(query), "document": str(document_id), "index": int(index)}:
            given = sent.get("collections", ())
            collections = tuple(map(str, given)) if isinstance(given, list) else ()
            query = query.strip()[:MOST_CHARACTERS]
            return Asked(query=query, document_id=document_id, index=index, collections=collections)
        case _:
            raise NotFound("There is no such passage.", "Reload the page.")


async def _hit(clients: Clients, user: str, asked: Asked, document: Document) -> Hit | None:
    """The passage in the ranking; if it is not among the first, at least its own scores."""
    for filters in (Filters(), Filters(documents=(document.id,))):
        question = Question(
            user=user,
            query=asked.query,
            columns=(COLUMNS["hybrid"],),
            collections=asked.collections or (document.collection_id,),
            k=DEEP,
            filters=filters,
        )
        try:
            entries = (await rankings(clients, question))[0].entries
        except (StageError, EmbeddingMismatch):
            return None
        for entry in entries:
            if entry.hit.document.id == document.id and entry.hit.passage.index == asked.index:
                return entry.hit if not filters.documents else _without_ranks(entry.hit)
    return None


def _without_ranks(hit: Hit) -> Hit:
    """Ranks inside one document are not those of the search."""
    return Hit(passage=hit.passage, document=hit.document, score=hit.score, cosine=hit.cosine, bm25=hit.bm25)


async def _best_sentence(clients: Clients, query: str, text: str) -> tuple[str, float] | None:
    found = sentences(text)[:MOST_SENTENCES]
    if not found:
        return None
    try:
        ranked: list[Ranked] = await clients.reranker.rank(query, found, 1)
    except StageError:
        return None
    return (found[ranked[0].index], ranked[0].score) if ranked else None


def sentences(text: str) -> list[str]:
    """The sentences and list items of a passage that have words."""
    found = (" ".join(part.split()) for part in _BREAK.split(text))
    return [sentence for sentence in found if any(letter.isalnum() for letter in sentence)]
