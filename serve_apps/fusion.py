"""Several rankings as one, by reciprocal ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

RANK_OFFSET = 60
"""How little the very first places count more than those after them.

Source: Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank
Learning Methods", SIGIR 2009.
"""

Ranking = Sequence[tuple[int, float]]
"""(passage, score), best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fused:
    """A passage, its place in each ranking, and what follows from them."""

    key: int
    score: float
    cosine: float | None = None
    bm25: float | None = None
    dense_rank: int | None = None
    bm25_rank: int | None = None
    """From 1; None where that ranking does not have it."""


def fuse(dense: Ranking, bm25: Ranking) -> list[Fused]:
    """Passages of both rankings, best first: the sum of 1 / (60 + rank). Of equals, the more similar first.

    Scores of the two searches have nothing to do with each other; their ranks do. With one ranking empty,
    the order is the other's.
    """
    by_meaning = {key: (rank, score) for rank, (key, score) in enumerate(dense, 1)}
    by_words = {key: (rank, score) for rank, (key, score) in enumerate(bm25, 1)}
    fused = [_fused(key, by_meaning.get(key), by_words.get(key)) for key in {**by_meaning, **by_words}]
    return sorted(fused, key=lambda one: (-one.score, -(one.cosine or -1.0), one.key))


def ranked(dense: Ranking, bm25: Ranking) -> list[Fused]:
    """One ranking as it is, with its own scores; the other one is empty."""
    by_meaning = [
        Fused(key=key, score=score, cosine=score, dense_rank=rank)
        for rank, (key, score) in enumerate(dense, 1)
    ]
    by_words = [
        Fused(key=key, score=score, bm25=score, bm25_rank=rank) for rank, (key, score) in enumerate(bm25, 1)
    ]
    return by_meaning + by_words


def merged(rankings: Sequence[Ranking], limit: int) -> list[tuple[int, float]]:
    """The best of several rankings whose scores can be compared: those of several collections."""
    everything = [one for ranking in rankings for one in ranking]
    return sorted(everything, key=lambda one: (-one[1], one[0]))[:limit]


def _fused(key: int, dense: tuple[int, float] | None, bm25: tuple[int, float] | None) -> Fused:
    ranks = [one[0] for one in (dense, bm25) if one is not None]
    return Fused(
        key=key,
        score=sum(1 / (RANK_OFFSET + rank) for rank in ranks),
        cosine=dense[1] if dense else None,
        bm25=bm25[1] if bm25 else None,
        dense_rank=dense[0] if dense else None,
        bm25_rank=bm25[0] if bm25 else None,
    )
