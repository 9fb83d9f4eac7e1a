"""The nearest lines of a query: found by cosine, reranked on demand, shown with what moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from serve_apps.contracts import Reranker
from serve_apps.wire import Vectors
from ui.stats import stat_line

__all__ = ["CANDIDATES", "Hit", "html", "nearest", "reranked"]

CANDIDATES = 50
"""Nearest lines that the reranker looks at."""
SHOWN_CHARACTERS = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One line of a result."""

    index: int
    """Its place among the lines, from 0."""
    text: str
    cosine: float
    score: float | None = None
    """The reranker's, if it was asked; the scale is the model's."""
    n_up: int = 0
    """Places that the reranker moved it up; negative is down."""


def nearest(lines: Sequence[str], vectors: Vectors, query: Vectors, k: int) -> list[Hit]:
    """The `k` lines with the highest cosine to `query` (shape (d,)), best first."""
    cosines = vectors @ query
    k = min(k, len(lines))
    best = np.argpartition(-cosines, k - 1)[:k]
    best = best[np.lexsort((best, -cosines[best]))]
    return [Hit(index=int(i), text=lines[i], cosine=float(cosines[i])) for i in best]


async def reranked(reranker: Reranker, query: str, hits: Sequence[Hit]) -> list[Hit]:
    """The hits in the reranker's order, each with how far it moved."""
    ranked = await reranker.rank(query, [hit.text for hit in hits])
    return [
        Hit(
            index=hits[item.index].index,
            text=hits[item.index].text,
            cosine=hits[item.index].cosine,
            score=item.score,
            n_up=item.index - place,
        )
        for place, item in enumerate(ranked)
    ]


def html(query: str, hits: Sequence[Hit], stats: dict[str, str], of: str) -> str:
    """The result as a list; `of` names the lines, so that the map can tell whether it shows them."""
    items = "".join(_item(hit) for hit in hits)
    return (
        f'<section class="ray-hits" data-of="{escape(of)}" aria-label="Nearest lines">'
        f'<p class="ray-hits-for">Nearest to <q dir="auto">{escape(_short(query))}</q>{_verdict(hits)}</p>'
        f"<ol>{items}</ol>{stat_line(stats)}</section>"
    )


def _item(hit: Hit) -> str:
    share = max(0.0, min(1.0, hit.cosine))
    score = "" if hit.score is None else f'<span class="ray-hit-score">rerank {hit.score:.3f}</span>'
    return (
        f'<li data-index="{hit.index}" tabindex="0">'
        f'<span class="ray-hit-text" dir="auto">{escape(_short(hit.text))}</span>'
        f'<span class="ray-hit-facts">{_moved(hit)}{score}'
        f'<span class="ray-hit-line">line {hit.index + 1}</span>'
        f'<span class="ray-hit-bar" aria-hidden="true"><i style="width:{share:.0%}"></i></span>'
        f'<span class="ray-hit-cosine" title="cosine">{hit.cosine:.3f}</span></span></li>'
    )


def _moved(hit: Hit) -> str:
    if not hit.n_up:
        return ""
    word, arrow = ("up", "\u25b2") if hit.n_up > 0 else ("down", "\u25bc")
    n = abs(hit.n_up)
    return f'<span class="ray-hit-{word}" aria-label="{n} {word}">{arrow}\u202f{n}</span>'


def _verdict(hits: Sequence[Hit]) -> str:
    if not hits or hits[0].score is None:
        return ""
    n_moved = sum(hit.n_up != 0 for hit in hits)
    return f", reranked: {n_moved} of {len(hits)} moved" if n_moved else ", reranked: the order stayed"


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}\u2026"
