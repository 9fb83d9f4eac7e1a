"""Small recurring facts as HTML: numbers with units, the model chip, the stat line, the progress line."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from serve_apps.wire import ModelCard

_KIB = 1024
_SECOND_MS = 1000


def milliseconds(value_ms: float) -> str:
    """A duration for people: `8.4 ms`, `412 ms`, `2.31 s`."""
    if value_ms >= _SECOND_MS:
        return f"{value_ms / _SECOND_MS:.2f} s"
    return f"{value_ms:.0f} ms" if value_ms >= 10 else f"{value_ms:.1f} ms"  # noqa: PLR2004 - two digits


def size(value_bytes: int) -> str:
    """A size for people: `812 B`, `88.6 MiB`, `1.20 GiB`."""
    amount = float(value_bytes)
    for unit in ("B", "KiB", "MiB"):
        if amount < _KIB:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= _KIB
    return f"{amount:.2f} GiB"


def model_chip(card: ModelCard) -> str:
    """One line that names the model: name, engine, size, licence; details on hover."""
    facts = [card.engine, size(card.size_bytes) if card.size_bytes else "", card.licence]
    more = "; ".join(
        [f"source: {card.source}", *(f"{name}: {value}" for name, value in card.details.items())]
    )
    rest = "".join(f'<span class="ray-chip-fact">{escape(fact)}</span>' for fact in facts if fact)
    return f'<span class="ray-chip" title="{escape(more)}"><strong>{escape(card.model)}</strong>{rest}</span>'


def stat_line(stats: Mapping[str, str]) -> str:
    """Facts side by side: `{"first token": "41 ms", "speed": "52.5 tok/s"}`."""
    items = "".join(
        f'<div class="ray-stat"><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>'
        for name, value in stats.items()
    )
    return f'<dl class="ray-stats">{items}</dl>'


def progress_line(label: str, done: float | None = None) -> str:
    """What is going on, with a bar; `done` in [0, 1], or None while the end is unknown."""
    value = "" if done is None else f' value="{min(1.0, max(0.0, done)):.3f}"'
    percent = "" if done is None else f"<span>{min(1.0, max(0.0, done)):.0%}</span>"
    text = escape(label)
    return (
        f'<div class="ray-progress" role="status"><span>{text}</span>'
        f'<progress max="1"{value} aria-label="{text}"></progress>{percent}</div>'
    )
