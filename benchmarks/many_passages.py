"""A collection far larger than what anybody waits for to be embedded: real words, random vectors."""

from __future__ import annotations

import asyncio
import time

import numpy as np

from benchmarks import library
from serve_apps.access import OWNER
from serve_apps.contracts_knowledge import Knowledge, SearchRequest
from serve_apps.errors import StageError
from serve_apps.wire import Vectors
from serve_apps.wire_knowledge import NewDocument, Page, Passage, SearchMethod

DOCUMENT_PASSAGES = 1000
BATCH = 500
N_DIMENSIONS = 384
N_QUERIES_FROM = 10_000
LIMIT = 12
"""What a search gives the reranker, the product's default."""
MODEL = "random"
LOOK_EVERY_S, N_ALIKE = 10.0, 3
ALIKE, FASTER = 1.5, 3.0
"""`N_ALIKE` looks that differ by less, and are as many times faster than the slowest: the index is built.
Searches without one are alike, too."""


class ManyPassages:
    """Fills a collection, and searches it.

    Args:
        knowledge: the stage.
    """

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge

    async def fill(self, collection_id: str, n_passages: str) -> float:
        """Seconds until all of them can be found."""
        started = time.perf_counter()
        for first in range(0, int(n_passages), DOCUMENT_PASSAGES):
            await self._add(collection_id, first)
        return time.perf_counter() - started

    async def settle(self, collection_id: str, most_s: str) -> float:
        """Seconds until searches are fast and stay so, which is when the index is built; `most_s` at most."""
        started, looks = time.perf_counter(), list[float]()
        while time.perf_counter() - started < float(most_s):
            try:
                looks.append(max(await self.find(collection_id, "dense", "9")))
            except StageError:
                looks.append(0.0)
            last = looks[-N_ALIKE:]
            are_alike = len(last) == N_ALIKE and max(last) < ALIKE * min(last)
            if are_alike and max(looks) > FASTER * max(last):
                break
            await asyncio.sleep(LOOK_EVERY_S)
        return time.perf_counter() - started

    async def find(self, collection_id: str, method: SearchMethod, n_queries: str) -> list[float]:
        """Milliseconds of each search, with a vector made before; the first, which warms up, is not there."""
        queries = library.questions(int(n_queries) + 1, N_QUERIES_FROM)
        vectors = _random(0, len(queries))
        requests = [
            _request(collection_id, method, query, vector)
            for query, vector in zip(queries, vectors, strict=True)
        ]
        return [await self._ms(request) for request in requests][1:]

    async def _ms(self, request: SearchRequest) -> float:
        started = time.perf_counter()
        await self._knowledge.search(request)
        return (time.perf_counter() - started) * 1000

    async def _add(self, collection_id: str, first: int) -> None:
        texts = [library.section_text(number) for number in range(first, first + DOCUMENT_PASSAGES)]
        page = Page(number=1, text="\n".join(texts))
        ticket = await self._knowledge.begin(
            OWNER, collection_id, _document(first, page.text), MODEL, N_DIMENSIONS
        )
        await self._knowledge.add_pages(ticket, [page])
        for at in range(0, len(texts), BATCH):
            passages = _passages(texts, at)
            await self._knowledge.add_passages(ticket, passages, _random(first + at + 1, len(passages)))
        await self._knowledge.commit(ticket)


def _document(first: int, text: str) -> NewDocument:
    return NewDocument(
        name=f"many-{first:06d}.txt",
        kind="text",
        media_type="text/plain",
        sha256=f"{first:064x}",
        size_bytes=len(text),
    )


def _passages(texts: list[str], first: int) -> list[Passage]:
    starts = [0, *np.cumsum([len(text) + 1 for text in texts]).tolist()]
    return [
        Passage(index=at, text=texts[at], page=1, start=starts[at], end=starts[at] + len(texts[at]))
        for at in range(first, min(first + BATCH, len(texts)))
    ]


def _request(collection_id: str, method: SearchMethod, query: str, vector: Vectors) -> SearchRequest:
    by_words = method == "bm25"
    return SearchRequest(
        user=OWNER,
        query=query,
        vector=None if by_words else vector,
        embedding_model="" if by_words else MODEL,
        collections=(collection_id,),
        method=method,
        limit=LIMIT,
    )


def _random(seed: int, n_vectors: int) -> Vectors:
    vectors = np.random.default_rng(seed).standard_normal((n_vectors, N_DIMENSIONS), np.float32)
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
