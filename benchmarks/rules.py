"""The rules that make a number worth printing: a quiet machine, interleaved rounds, medians and their spread.

A round measures floor, product, every peer, and the floor again. When the two floors of a round differ by
more than `MAX_FLOOR_DRIFT`, something else used the machine and the round is thrown away and repeated.
"""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

MAX_LOAD = 0.5
"""Highest 1-minute load average to start at."""
MAX_FLOOR_DRIFT = 0.15
"""Largest relative difference between the two floors of a valid round."""
MIN_ROUNDS = 5
MAX_ATTEMPTS_PER_ROUND = 3
"""Rounds tried for each that is wanted, before the row is called noisy."""

Sampler = Callable[[], Sequence[float]]
"""Takes one system's samples of one round; their median is the round's value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Median and quartiles of the medians of the valid rounds."""

    median: float
    q1: float
    q3: float
    n_rounds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """One value a round for each system, floors averaged, and how many rounds were thrown away."""

    values: Mapping[str, list[float]]
    n_discarded: int
    noisy: bool
    """Fewer valid rounds than wanted."""

    def spread(self, system: str) -> Spread:
        """The spread of one system's rounds."""
        return spread(self.values[system])

    def differences(self, system: str, floor: str) -> list[float]:
        """`system` minus `floor`, round by round."""
        return [a - b for a, b in self._pairs(system, floor)]

    def ratio(self, system: str, floor: str) -> float:
        """Median of `system` over `floor`, round by round; not a number when no round is valid."""
        return spread([a / b for a, b in self._pairs(system, floor)]).median

    def added(self, system: str, floor: str) -> float:
        """Median of `system` minus `floor`, round by round; not a number when no round is valid."""
        return spread(self.differences(system, floor)).median

    def _pairs(self, system: str, floor: str) -> Iterator[tuple[float, float]]:
        return zip(self.values[system], self.values[floor], strict=True)


@dataclass(slots=True)
class _Taken:
    values: dict[str, list[float]] = field(default_factory=dict)
    n_discarded: int = 0


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles, the inclusive kind, so that five values are enough."""
    if not values:
        nan = float("nan")
        return Spread(median=nan, q1=nan, q3=nan, n_rounds=0)
    if len(values) == 1:
        return Spread(median=values[0], q1=values[0], q3=values[0], n_rounds=1)
    q1, median, q3 = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median=median, q1=q1, q3=q3, n_rounds=len(values))


def drift(before: float, after: float) -> float:
    """Relative difference of two floors, against the smaller."""
    return abs(before - after) / min(before, after)


def interleave(
    floor: tuple[str, Sampler],
    others: Mapping[str, Sampler],
    n_rounds: int,
    max_drift: float = MAX_FLOOR_DRIFT,
) -> Rounds:
    """Measure floor, others in their order, floor; repeat until `n_rounds` rounds are valid.

    Args:
        floor: name and sampler of what the others are compared with.
        others: the product first, then its peers.
        n_rounds: valid rounds wanted; at most `MAX_ATTEMPTS_PER_ROUND` times as many are tried.
        max_drift: largest drift of the floors of a valid round.
    """
    floor_name, floor_sampler = floor
    taken = _Taken({name: [] for name in (floor_name, *others)})
    for _ in range(n_rounds * MAX_ATTEMPTS_PER_ROUND):
        if len(taken.values[floor_name]) == n_rounds:
            break
        before = statistics.median(floor_sampler())
        medians = {name: statistics.median(sampler()) for name, sampler in others.items()}
        after = statistics.median(floor_sampler())
        if drift(before, after) > max_drift:
            taken.n_discarded += 1
            continue
        medians[floor_name] = (before + after) / 2
        for name, value in medians.items():
            taken.values[name].append(value)
    noisy = len(taken.values[floor_name]) < n_rounds
    return Rounds(values=taken.values, n_discarded=taken.n_discarded, noisy=noisy)


def alternate(samplers: Mapping[str, Sampler], n_rounds: int) -> Rounds:
    """Measure each system in turn, `n_rounds` times, none thrown away."""
    values: dict[str, list[float]] = {name: [] for name in samplers}
    for _ in range(n_rounds):
        for name, sampler in samplers.items():
            values[name].append(statistics.median(sampler()))
    return Rounds(values=values, n_discarded=0, noisy=False)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of them do not exceed; not a number when there are none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def too_loaded() -> str | None:
    """Why the machine is not quiet enough to measure on, or None."""
    load = os.getloadavg()[0]
    if load <= MAX_LOAD:
        return None
    return f"The 1-minute load average is {load:.2f}, above {MAX_LOAD}: wait, or pass --force."
