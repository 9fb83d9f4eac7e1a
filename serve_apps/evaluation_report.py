"""What an evaluation found: as numbers for programs, and as tables for people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.table import Table

from serve_apps.evaluation import (
    METRICS,
    Estimate,
    Judged,
    Threshold,
    estimate,
    is_as_good,
    judge,
    separation,
    suggested,
    sweep,
)
from serve_apps.evaluation_data import Question
from serve_apps.evaluation_run import Found, Way

SWEPT = (Way(method="hybrid", rerank=True), Way(method="dense", rerank=False))
"""What a turn's `min_score` and `min_cosine` cut."""
_TITLES = {"recall": "recall@{k}", "reciprocal_rank": "MRR@{k}", "ndcg": "nDCG@{k}", "success": "success@1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One way to search, judged."""

    way: Way
    judged: tuple[Judged, ...]
    """One for each answerable question."""
    p50_ms: float
    p95_ms: float

    def values(self, metric: str) -> list[float]:
        """One metric, question by question."""
        return [getattr(one, metric) for one in self.judged]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What thresholds on one way's scores would do."""

    way: Way
    thresholds: tuple[Threshold, ...]
    separation: float
    suggested: Threshold | None


def judged(questions: Sequence[Question], found: Mapping[Way, Sequence[Found]], k: int) -> list[Line]:
    """Every way, judged by the answerable questions; latency is over all of them."""
    lines: list[Line] = []
    for way, answers in found.items():
        pairs = zip(questions, answers, strict=True)
        latencies = [answer.latency_ms for answer in answers]
        marks = tuple(judge(answer.ranking, one.relevant, k) for one, answer in pairs if one.relevant)
        p50_ms, p95_ms = np.percentile(latencies, [50, 95])
        lines.append(Line(way=way, judged=marks, p50_ms=float(p50_ms), p95_ms=float(p95_ms)))
    return lines


def swept(questions: Sequence[Question], found: Mapping[Way, Sequence[Found]]) -> list[Sweep]:
    """How well scores tell questions that the corpus answers from those that it does not."""
    return [_sweep(way, questions, found[way]) for way in SWEPT]


def _sweep(way: Way, questions: Sequence[Question], answers: Sequence[Found]) -> Sweep:
    answered: list[float] = []
    unanswerable: list[float] = []
    for question, answer in zip(questions, answers, strict=True):
        scored = zip(answer.ranking, answer.scores, strict=True)
        scores = [score for passage, score in scored if passage in question.relevant or not question.relevant]
        (answered if question.relevant else unanswerable).append(max(scores, default=-math.inf))
    thresholds = sweep(answered, unanswerable)
    return Sweep(
        way=way,
        thresholds=tuple(thresholds),
        separation=separation(answered, unanswerable),
        suggested=suggested(thresholds),
    )


def as_json(lines: Sequence[Line], sweeps: Sequence[Sweep], about: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the tables show, and the interval of each mean."""
    ways = [
        {
            "method": line.way.method,
            "rerank": line.way.rerank,
            "metrics": {metric: asdict(estimate(line.values(metric))) for metric in METRICS},
            "latency_ms": {"p50": line.p50_ms, "p95": line.p95_ms},
        }
        for line in lines
    ]
    told = [{**asdict(one), "separation": _finite(one.separation)} for one in sweeps]
    return {**about, "ways": ways, "thresholds": told}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def quality_table(lines: Sequence[Line], k: int) -> Table:
    """A line a way; `*` marks the best of a column, `≈` those that these questions cannot tell from it."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("search")
    for metric in METRICS:
        table.add_column(_TITLES[metric].format(k=k), justify="right", no_wrap=True)
    table.add_column("p50", justify="right", no_wrap=True)
    table.add_column("p95 ms", justify="right", no_wrap=True)
    best = {metric: max(lines, key=lambda line: estimate(line.values(metric)).mean) for metric in METRICS}
    fastest = min(line.p50_ms for line in lines), min(line.p95_ms for line in lines)
    for line in lines:
        cells = [_cell(line, best[metric], metric) for metric in METRICS]
        times = [
            f"{'*' if ms == least else ''}{ms:.1f}"
            for ms, least in zip((line.p50_ms, line.p95_ms), fastest, strict=True)
        ]
        table.add_row(line.way.name, *cells, *times)
    return table


def _cell(line: Line, best: Line, metric: str) -> str:
    told: Estimate = estimate(line.values(metric))
    mark = "*" if line is best else "≈" if is_as_good(line.values(metric), best.values(metric)) else ""
    return f"{mark}{told.mean:.3f} [{told.low:.2f}, {told.high:.2f}]"


def threshold_table(found: Sweep) -> Table:
    """A line a threshold, from the first that refuses anything to where half of the answers are lost."""
    table = Table(box=None, header_style="bold", pad_edge=False, title=_heading(found), title_justify="left")
    for title in ("min_score", "answers kept", "unanswerable refused"):
        table.add_column(title, justify="right")
    for one in found.thresholds:
        if one.kept >= 0.5 and (one.refused > 0 or one.kept < 1):  # noqa: PLR2004
            mark = " *" if one == found.suggested else ""
            table.add_row(f"{one.at:.2f}{mark}", f"{one.kept:.0%}", f"{one.refused:.0%}")
    return table


def _heading(found: Sweep) -> str:
    which = "the reranker's score" if found.way.rerank else "the cosine"
    return f"{found.way.name}: {which}; answers score higher {found.separation:.0%} of the time"
