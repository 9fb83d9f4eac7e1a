"""The run as one picture: a bar for every system, light and dark, without a plotting library."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from html import escape
from typing import Any

from benchmarks.result import Measure, RowResult
from benchmarks.rules import Spread
from benchmarks.table import PRODUCT, number

WIDTH = 760
LABEL_X, BAR_X, BAR_END = 24, 150, 600
BAR_H, BAR_GAP, MEASURE_GAP, ROW_GAP = 14, 6, 26, 20
STYLE = """
  text { font: 12px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #334155 }
  .title { font-size: 17px; font-weight: 600; fill: #0f172a }
  .row { font-size: 14px; font-weight: 600; fill: #0f172a }
  .what { fill: #64748b } .value { font-variant-numeric: tabular-nums }
  .kept { fill: #15803d } .broken { fill: #b91c1c } .bar { fill: #cbd5e1 } .ours { fill: #4f46e5 }
  .spread { stroke: #0f172a; stroke-opacity: .55; stroke-width: 1.5 }
  .promise { stroke: #64748b; stroke-dasharray: 3 2 }
  .paper { fill: #ffffff }
  @media (prefers-color-scheme: dark) {
    text { fill: #cbd5e1 } .title, .row { fill: #f1f5f9 } .what { fill: #94a3b8 } .kept { fill: #4ade80 }
    .broken { fill: #f87171 } .bar { fill: #475569 } .ours { fill: #818cf8 } .spread { stroke: #f1f5f9 }
    .paper { fill: #0f172a }
  }
"""


@dataclass(slots=True)
class _Canvas:
    """Elements from the top down; `y` is where the next one goes."""

    y: float = 36
    elements: list[str] = field(default_factory=list)

    def text(self, x: float, text: str, style: str, *, dy: float = 0, anchor: str = "start") -> None:
        self.elements.append(
            f'<text x="{x:.1f}" y="{self.y + dy:.1f}" class="{style}" text-anchor="{anchor}">'
            f"{escape(text)}</text>"
        )

    def bar(self, width: float, style: str, title: str) -> None:
        self.elements.append(
            f'<rect x="{BAR_X}" y="{self.y:.1f}" width="{max(width, 1.5):.1f}" height="{BAR_H}" rx="3" '
            f'class="{style}"><title>{escape(title)}</title></rect>'
        )

    def mark(self, x: float) -> None:
        """A promise, across the next bar."""
        y1, y2 = self.y - 3, self.y + BAR_H + 3
        self.elements.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y1:.1f}" y2="{y2:.1f}" class="promise"/>')

    def line(self, x1: float, x2: float) -> None:
        middle = self.y + BAR_H / 2
        self.elements.append(
            f'<line x1="{x1:.1f}" x2="{x2:.1f}" y1="{middle:.1f}" y2="{middle:.1f}" class="spread"/>'
        )


def svg(rows: list[RowResult], about: dict[str, Any]) -> str:
    """All measures of all rows that ran."""
    canvas = _Canvas()
    canvas.text(LABEL_X, "Raydio beside the engine, and beside its peers", "title")
    canvas.y += 20
    canvas.text(LABEL_X, f"{about['cpu']}, {about['n_cpus']} cores · commit {about['commit']}", "what")
    for row in rows:
        if row.measures:
            _row(canvas, row)
    height = canvas.y + 24
    body = "\n".join(canvas.elements)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
        f'viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="Benchmark results">\n'
        f"<style>{STYLE}</style>\n"
        f'<rect class="paper" width="100%" height="100%" rx="8"/>\n{body}\n</svg>\n'
    )


def _row(canvas: _Canvas, row: RowResult) -> None:
    canvas.y += ROW_GAP + 18
    canvas.text(LABEL_X, row.title, "row")
    for measure in row.measures:
        _measure(canvas, measure)


def _measure(canvas: _Canvas, measure: Measure) -> None:
    canvas.y += MEASURE_GAP
    arrow = "less is better" if measure.better == "lower" else "more is better"
    canvas.text(LABEL_X, f"{measure.name}, {measure.unit} · {arrow}", "what")
    if measure.gates:
        verdict = " · ".join(f"{'✓' if gate.passed else '✗'} {gate.text}" for gate in measure.gates)
        style = "kept" if all(gate.passed for gate in measure.gates) else "broken"
        canvas.text(WIDTH - 24, verdict, style, anchor="end")
    canvas.y += 8
    longest = max((s.q3 for s in measure.systems.values() if not math.isnan(s.q3)), default=1.0) or 1.0
    if len(measure.systems) == 1:  # beside nothing else, a bar is read against its promise
        longest = max(longest, *(gate.limit for gate in measure.gates), 0)
        for gate in measure.gates:
            canvas.mark(BAR_X + gate.limit * (BAR_END - BAR_X) / longest)
    for name, spread in measure.systems.items():
        _bar(canvas, name, spread, longest, measure.unit)


def _bar(canvas: _Canvas, name: str, spread: Spread, longest: float, unit: str) -> None:
    shown = PRODUCT.capitalize() if name == PRODUCT else name
    canvas.text(BAR_X - 8, shown, "value", dy=11, anchor="end")
    if math.isnan(spread.median):
        canvas.text(BAR_X, "failed", "broken", dy=11)
    else:
        scale = (BAR_END - BAR_X) / longest
        value = f"{number(spread.median)} {unit}"
        canvas.bar(spread.median * scale, "ours" if name == PRODUCT else "bar", f"{shown}: {value}")
        if spread.q3 > spread.q1:
            canvas.line(BAR_X + spread.q1 * scale, BAR_X + spread.q3 * scale)
        canvas.text(BAR_X + max(spread.q3, spread.median) * scale + 8, value, "value", dy=11)
    canvas.y += BAR_H + BAR_GAP
