"""What a row says: measures, each with a number for every system and a gate that passed or not."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.rules import Rounds, Spread, spread

RESULTS = Path(__file__).parent / "results"
"""One JSON file and one SVG plot a run; `latest.json` is the last whole one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The promise behind a measure."""

    text: str
    """For people, for example `added ≤ 5 ms`."""
    value: float
    limit: float
    at_most: bool = True

    @property
    def passed(self) -> bool:
        """Whether the promise is kept; a value that could not be measured keeps none."""
        if math.isnan(self.value):
            return False
        return self.value <= self.limit if self.at_most else self.value >= self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One quantity, side by side."""

    name: str
    unit: str
    better: Literal["lower", "higher"]
    systems: dict[str, Spread]
    """System name to its numbers, in the order they are shown: floor, raydio, peers."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Systems that could not run, and why."""
    gates: tuple[Gate, ...] = ()
    n_discarded: int = 0
    noisy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RowResult:
    """One row of the table."""

    row: int
    title: str
    measures: tuple[Measure, ...] = ()
    error: str = ""
    """Why the whole row could not run."""


def measured(
    name: str, unit: str, better: Literal["lower", "higher"], rounds: Rounds, **more: Any
) -> Measure:
    """A measure out of interleaved rounds."""
    return Measure(
        name=name,
        unit=unit,
        better=better,
        systems={system: rounds.spread(system) for system in rounds.values},
        n_discarded=rounds.n_discarded,
        noisy=rounds.noisy,
        **more,
    )


def counted(name: str, unit: str, better: Literal["lower", "higher"], **more: Any) -> Measure:
    """A measure out of plain lists of values, `systems={"raydio": [1.0, 2.0]}`."""
    systems = {system: spread(values) for system, values in more.pop("systems").items()}
    return Measure(name=name, unit=unit, better=better, systems=systems, **more)


def to_json(rows: list[RowResult], machine: dict[str, Any]) -> str:
    """The whole run as JSON text, gates with their verdict."""
    shown_rows = [dataclasses.asdict(row) for row in rows]
    for row, shown in zip(rows, shown_rows, strict=True):
        for measure, plain in zip(row.measures, shown["measures"], strict=True):
            for gate, verdict in zip(measure.gates, plain["gates"], strict=True):
                verdict["passed"] = gate.passed
    return json.dumps({"machine": machine, "rows": shown_rows}, indent=1, ensure_ascii=False)


def from_json(text: str) -> tuple[list[RowResult], dict[str, Any]]:
    """The inverse of `to_json`."""
    document = json.loads(text)
    return [_row(row) for row in document["rows"]], document["machine"]


def _row(row: dict[str, Any]) -> RowResult:
    return RowResult(**{**row, "measures": tuple(_measure(m) for m in row["measures"])})


def _measure(measure: dict[str, Any]) -> Measure:
    gates = tuple(Gate(**{k: v for k, v in gate.items() if k != "passed"}) for gate in measure["gates"])
    systems = {name: Spread(**numbers) for name, numbers in measure["systems"].items()}
    return Measure(**{**measure, "gates": gates, "systems": systems})
