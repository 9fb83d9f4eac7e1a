"""Results as text: the Markdown table of the README, and the lines that a run prints as it goes."""

from __future__ import annotations

import math
from typing import Any

from benchmarks.result import Gate, Measure, RowResult
from benchmarks.rules import Spread

FLOORS = ("direct", "engine", "engines", "stages", "plain Gradio", "spoken whole", "nobody")
PRODUCT = "raydio"


def number(value: float) -> str:
    """Three significant digits, thousands grouped."""
    if math.isnan(value):
        return "–"
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:,.{digits}f}"


def markdown(rows: list[RowResult], about: dict[str, Any]) -> str:
    """A table with one line a measure, and what it was taken on."""
    head = "| row | what | floor | Raydio | peer | promise | kept |\n|---|---|---|---|---|---|---|\n"
    body = "".join(_line(row, measure) for row in rows for measure in row.measures)
    failed = "".join(
        f"| {row.row} | {row.title} | – | not measured: {_cell(row.error)} | | | |\n"
        for row in rows
        if row.error
    )
    return head + body + failed + _about(about)


def lines(row: RowResult) -> str:
    """A row for people who watch the run."""
    text = f"\n{row.row}. {row.title}\n"
    if row.error:
        return f"{text}   could not run: {row.error}\n"
    return text + "".join(_measure_lines(measure) for measure in row.measures)


def _measure_lines(measure: Measure) -> str:
    text = f"   {measure.name} ({measure.unit}{', noisy' if measure.noisy else ''})\n"
    for name, spread in measure.systems.items():
        text += f"      {name:<14}{_spread(spread)}\n"
    for name, reason in measure.skipped.items():
        text += f"      {name:<14}skipped: {reason}\n"
    for gate in measure.gates:
        text += f"      {'kept  ' if gate.passed else 'BROKEN'} {gate.text}: {number(gate.value)}\n"
    return text


def _line(row: RowResult, measure: Measure) -> str:
    floor = next((name for name in FLOORS if name in measure.systems), None)
    peers = [name for name in measure.systems if name not in (floor, PRODUCT)]
    cells = [
        str(row.row),
        f"{row.title.partition(':')[0]}: {measure.name}, {measure.unit}{' (noisy)' if measure.noisy else ''}",
        f"{_spread(measure.systems[floor])} {floor}" if floor else "",
        f"**{_spread(measure.systems[PRODUCT])}**",
        "; ".join(
            [f"{_spread(measure.systems[p])} {p}" for p in peers] + [f"{p}: not run" for p in measure.skipped]
        ),
        "; ".join(gate.text for gate in measure.gates),
        "; ".join(_verdict(gate) for gate in measure.gates),
    ]
    return f"| {' | '.join(cells)} |\n"


def _spread(spread: Spread) -> str:
    low, middle, high = map(number, (spread.q1, spread.median, spread.q3))
    return middle if low == high else f"{middle} ({low}–{high})"


def _verdict(gate: Gate) -> str:
    return f"{'yes' if gate.passed else 'no'}: {number(gate.value)}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")[:200]


def _about(about: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return (
        f"\nMedians of rounds, quartiles in brackets. {about['cpu']}, {about['n_cpus']} cores, load "
        f"{about['load_before']:.2f} before; Python {about['python']}, {versions}; commit {about['commit']}, "
        f"{about['started']}. `make bench` takes them again.\n"
    )
