"""How good a ranking is, in numbers: recall, MRR, nDCG, and what a threshold on its scores would do.

Rankings are lists of ids, best first; `relevant` gives each relevant id a grade: 1 helps, 2 answers.
Source: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", TOIS 20(4), 2002.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

N_RESAMPLES = 2000
CONFIDENCE = 0.95
KEPT_SHARE = 0.95
"""Of the answers that a ranking finds, how many a suggested threshold must leave in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One question's ranking, judged as far as place k. All in [0, 1], more is better."""

    recall: float
    """Share of the relevant that is there."""
    reciprocal_rank: float
    """1 / place of the first relevant one."""
    ndcg: float
    """Gains 2^grade - 1, discounted by place, of the best possible sum."""
    success: float
    """1 when the first is relevant."""


METRICS = ("recall", "reciprocal_rank", "ndcg", "success")


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over questions, and where it would lie 95 times of 100 with other questions like them."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """What leaving out everything below `at` does."""

    at: float
    kept: float
    """Share of the answerable questions whose best relevant passage stays in."""
    refused: float
    """Share of the unanswerable questions that are left without any passage."""


def judge(ranking: Sequence[str], relevant: Mapping[str, int], k: int) -> Judged:
    """Judge the first `k` of a ranking; an id that comes again counts where it came first.

    Raises:
        ValueError: nothing is relevant, so no ranking could be right.
    """
    if not any(grade > 0 for grade in relevant.values()):
        raise ValueError("A question without relevant passages cannot be judged.")
    grades = [relevant.get(found, 0) for found in list(dict.fromkeys(ranking))[:k]]
    best = sorted(relevant.values(), reverse=True)[:k]
    places = [place for place, grade in enumerate(grades, 1) if grade > 0]
    return Judged(
        recall=len(places) / sum(grade > 0 for grade in relevant.values()),
        reciprocal_rank=1 / places[0] if places else 0.0,
        ndcg=_gain(grades) / _gain(best),
        success=float(places[:1] == [1]),
    )


def _gain(grades: Sequence[int]) -> float:
    return math.fsum((2**grade - 1) / math.log2(place + 1) for place, grade in enumerate(grades, 1))


def estimate(values: Sequence[float], seed: int = 0) -> Estimate:
    """The mean and its confidence interval, by bootstrap over questions; the same for the same values."""
    if not len(values):
        return Estimate(mean=math.nan, low=math.nan, high=math.nan)
    low, high = _interval(np.asarray(values, np.float64), seed)
    return Estimate(mean=math.fsum(values) / len(values), low=low, high=high)


def is_as_good(values: Sequence[float], best: Sequence[float], seed: int = 0) -> bool:
    """Whether these questions cannot tell two rankings apart: the interval of their difference holds 0.

    Args:
        values: one value a question.
        best: of the ranking with the better mean, question by question the same.
        seed: of the resampling.
    """
    low, _ = _interval(np.asarray(best, np.float64) - np.asarray(values, np.float64), seed)
    return low <= 0


def _interval(values: np.ndarray[tuple[int], np.dtype[np.float64]], seed: int) -> tuple[float, float]:
    random = np.random.default_rng(seed)
    means = values[random.integers(0, len(values), (N_RESAMPLES, len(values)))].mean(axis=1)
    outside = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [outside, 1 - outside])
    return float(low), float(high)


def sweep(answered: Sequence[float], unanswerable: Sequence[float], step: float = 0.02) -> list[Threshold]:
    """Thresholds `step` apart over all scores, lowest first.

    Args:
        answered: of each answerable question, the score of its best relevant passage; -inf where none came.
        unanswerable: of each other question, the highest score of all; -inf where nothing came.
        step: between two thresholds, in the score's unit.
    """
    scores = [score for score in (*answered, *unanswerable) if math.isfinite(score)]
    if not scores:
        return []
    first, last = math.floor(min(scores) / step), math.ceil(max(scores) / step)
    return [threshold(place * step, answered, unanswerable) for place in range(first, last + 1)]


def threshold(at: float, answered: Sequence[float], unanswerable: Sequence[float]) -> Threshold:
    """What one threshold does; see `sweep`. A share of nothing is not a number."""
    return Threshold(
        at=round(at, 10),
        kept=_share([score >= at for score in answered]),
        refused=_share([score < at for score in unanswerable]),
    )


def suggested(thresholds: Sequence[Threshold], kept_share: float = KEPT_SHARE) -> Threshold | None:
    """The highest threshold that still keeps `kept_share` of what the lowest one keeps.

    Losing an answer is worse than reading a passage in vain, so the answers decide.
    """
    if not thresholds or math.isnan(thresholds[0].kept):
        return None
    wanted = kept_share * thresholds[0].kept
    return max((one for one in thresholds if one.kept >= wanted), key=lambda one: one.at)


def separation(answered: Sequence[float], unanswerable: Sequence[float]) -> float:
    """How often an answer scores higher than the best of an unanswerable question; 0.5 is chance."""
    pairs = [(yes > no) + (yes == no) / 2 for yes in answered for no in unanswerable]
    return math.fsum(pairs) / len(pairs) if pairs else math.nan


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else math.nan
