"""A knowledge stage for tests of what is made of its hits: passages on a shelf, found by shared words."""

from __future__ import annotations

import asyncio

from serve_apps.contracts import Embeddings, Reranker
from serve_apps.contracts_knowledge import FindRequest, FindResult, SearchRequest
from serve_apps.errors import RaydioError
from serve_apps.finding import Found, StageFinder, clock
from serve_apps.wire_knowledge import Document, Hit, Passage, SearchResult, SearchTimings

TOOK = SearchTimings(dense_ms=1, bm25_ms=1, total_ms=2)


def document(name: str, n_pages: int = 3) -> Document:
    return Document(
        id=name.lower(),
        collection_id="c",
        name=name,
        kind="pdf",
        media_type="application/pdf",
        sha256="0" * 64,
        size_bytes=1,
        n_pages=n_pages,
        n_passages=1,
        added_s=0.0,
    )


class Shelf:
    """Finds passages that share words with the query, most first.

    Args:
        texts: document name to its passages, one a page.
        down: raised by every search, when set.
    """

    def __init__(self, texts: dict[str, list[str]], down: RaydioError | None = None) -> None:
        self.texts = texts
        self.down = down
        self.requests: list[SearchRequest] = []
        self.left_out: tuple[str, ...] = ()
        self.never: asyncio.Event | None = None
        """When set, searches wait for it."""

    async def search(self, request: SearchRequest) -> SearchResult:
        self.requests.append(request)
        if self.down is not None:
            raise self.down
        if self.never is not None:
            await self.never.wait()
        wanted = set(request.query.lower().split())
        hits = [
            self._hit(name, number, text, wanted)
            for name, texts in self.texts.items()
            for number, text in enumerate(texts, 1)
        ]
        found = sorted((hit for hit in hits if hit.score > 0), key=lambda hit: -hit.score)
        return SearchResult(hits=tuple(found[: request.limit]), timings=TOOK, left_out=self.left_out)

    @staticmethod
    def _hit(name: str, number: int, text: str, wanted: set[str]) -> Hit:
        share = len(wanted & set(text.lower().replace(".", "").split())) / max(1, len(wanted))
        passage = Passage(
            index=number - 1, text=text, page=number, start=0, end=len(text), headings=("Part",)
        )
        return Hit(passage=passage, document=document(name), score=share, cosine=share, dense_rank=1)


class OneCallShelf:
    """A shelf whose keeper embeds the question and reranks, too."""

    def __init__(self, embeddings: Embeddings, shelf: Shelf, reranker: Reranker) -> None:
        self._finder = StageFinder(embeddings, shelf, reranker)  # type: ignore[arg-type]

    async def find(self, asked: FindRequest) -> FindResult:
        now_ms = clock()
        found = Found(asked.user, asked.query, asked.wanted, asked.limit, asked.timeout_s, now_ms)
        await self._finder.look(found)
        hits = await self._finder.score(found)
        return FindResult(hits=hits, spans=tuple(found.spans), notes=tuple(found.notes), total_ms=now_ms())
