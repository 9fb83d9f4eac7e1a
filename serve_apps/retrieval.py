"""From a question to the passages that may answer it, good enough ones only, best first."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from serve_apps.args import RetrievalArgs
from serve_apps.contracts import Embeddings, Reranker
from serve_apps.contracts_knowledge import FindsPassages, Knowledge
from serve_apps.errors import EmptyInput
from serve_apps.finding import Finder, Found, OneCallFinder, StageFinder, clock
from serve_apps.wire import Span
from serve_apps.wire_knowledge import Hit, Retrieval, Scored

_WORD = re.compile(r"\w+(?:[-./:]\w+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """What was found, best first, and how."""

    hits: tuple[Scored, ...]
    n_below: int
    """Hits that were left out because their score was too low."""
    spans: tuple[Span, ...]
    """embed, search, rerank."""
    notes: tuple[str, ...]
    """What was degraded, in words for the user."""


class Retriever:
    """Finds passages for a question.

    Args:
        embeddings: makes the question's vector.
        knowledge: searches; does all of it where `args.in_one_call`.
        reranker: puts the best first.
        args: what callers do not say.
    """

    def __init__(
        self, embeddings: Embeddings, knowledge: Knowledge, reranker: Reranker, args: RetrievalArgs
    ) -> None:
        self._finder: Finder = StageFinder(embeddings, knowledge, reranker)
        if args.in_one_call:
            self._finder = OneCallFinder(cast("FindsPassages", knowledge))
        self._args = args

    async def rank(self, user: str, query: str, wanted: Retrieval) -> Ranking:
        """The passages for `query` in what `user` may read: `search`, then `order`."""
        return await self.order(await self.search(user, query, wanted))

    async def search(
        self, user: str, query: str, wanted: Retrieval, now_ms: Callable[[], float] | None = None
    ) -> Found:
        """What may answer `query`, in what `user` may read.

        Args:
            user: whose documents.
            query: standing alone.
            wanted: how to search; its `mode` is not looked at.
            now_ms: the clock of the spans; None: one that starts now.

        Raises:
            EmptyInput, EmbeddingMismatch, NotFound: the request.
            StageError: the knowledge stage did not answer.
        """
        if not query.strip():
            raise EmptyInput("There is nothing to search for.", "Write what to look for.")
        limit, timeout_s = self._n_candidates(wanted), self._args.timeout_s
        found = Found(user, query, wanted, limit, timeout_s, now_ms or clock())
        await self._finder.look(found)
        return found

    async def order(self, found: Found) -> Ranking:
        """The best of what was found first, and only what is good enough."""
        scored = await self._finder.score(found)
        names = _names(found.query)
        kept = [item for item in scored if self._is_good(item, found.wanted) or _holds(item.hit, names)]
        return Ranking(
            hits=tuple(kept),
            n_below=len(scored) - len(kept),
            spans=tuple(found.spans),
            notes=tuple(found.notes),
        )

    def _is_good(self, item: Scored, wanted: Retrieval) -> bool:
        """Whether its score is worth showing; a hit by words alone has no score that could be compared."""
        if item.reranked:
            return item.score >= (self._args.min_score if wanted.min_score is None else wanted.min_score)
        if item.hit.cosine is None:
            return True
        return item.hit.cosine >= (self._args.min_cosine if wanted.min_score is None else wanted.min_score)

    def _n_candidates(self, wanted: Retrieval) -> int:
        asked = wanted.n_candidates or self._args.n_candidates
        return max(asked, wanted.n_passages or self._args.n_passages)


def _names(query: str) -> set[str]:
    """Codes, numbers and abbreviations: what embeddings know least about and readers mean exactly."""
    words = _WORD.findall(query)
    return {w.lower() for w in words if any(map(str.isdigit, w)) or (len(w) > 1 and w.isupper())}


def _holds(hit: Hit, names: set[str]) -> bool:
    return bool(names) and not names.isdisjoint(word.lower() for word in _WORD.findall(hit.passage.text))
