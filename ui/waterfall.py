"""The stage waterfall: where a turn's time went, as bars that are also a readable list."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from serve_apps.wire import Span
from ui.stats import milliseconds

MIN_WIDTH_PERCENT = 0.75
"""Narrower bars could not be seen or hovered."""


def waterfall(spans: Sequence[Span]) -> str:
    """HTML of one row a span: name, bar, duration. Hovering a row shows when it began and ended.

    The names and durations are text, so the list reads the same without the bars.
    """
    if not spans:
        return ""
    end_ms = max(span.start_ms + span.duration_ms for span in spans) or 1.0
    rows = "".join(_row(span, end_ms) for span in spans)
    return f'<ul class="ray-fall" aria-label="Where the time went">{rows}</ul>'


def _row(span: Span, end_ms: float) -> str:
    width = min(100.0, max(MIN_WIDTH_PERCENT, 100 * span.duration_ms / end_ms))
    left = min(100 - width, 100 * span.start_ms / end_ms)
    stop_ms = span.start_ms + span.duration_ms
    when = f"{span.name}: from {milliseconds(span.start_ms)} to {milliseconds(stop_ms)}"
    waits = " ray-fall-waits" if "queue" in span.name or "wait" in span.name else ""
    return (
        f'<li class="ray-fall-row{waits}" title="{escape(when)}">'
        f'<span class="ray-fall-name">{escape(span.name)}</span>'
        '<span class="ray-fall-track">'
        f'<span class="ray-fall-bar" style="left:{left:.2f}%;width:{width:.2f}%"></span></span>'
        f'<span class="ray-fall-ms">{milliseconds(span.duration_ms)}</span></li>'
    )
