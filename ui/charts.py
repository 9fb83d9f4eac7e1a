"""What the map and the heat map of the embeddings page are drawn from: small JSON, texts cut short."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serve_apps.wire import Vectors
from ui import projection

__all__ = ["fingerprint", "heat", "picture", "summary"]

MAP_CHARACTERS = 200
HEAT_LINES = 100
"""More rows than this are smaller than a finger or a mouse can point at."""
N_PAIRS = 3


def fingerprint(lines: Sequence[str]) -> str:
    """A short name for these lines in this order."""
    return hashlib.blake2b("\n".join(lines).encode("utf-8", "replace"), digest_size=8).hexdigest()


def picture(lines: Sequence[str], vectors: Vectors) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values of the map and of the heat map. Seconds for thousands of lines: call it in a thread."""
    labels = projection.groups(vectors)
    typical = projection.typical(vectors, labels, int(labels.max()) + 1)
    flat_map = {
        "of": fingerprint(lines),
        "lines": [_cut(line) for line in lines],
        "xy": _thousandths(projection.plane(vectors)),
        "groups": labels.tolist(),
        "typical": typical,
    }
    return flat_map, heat(lines, vectors, labels)


def heat(lines: Sequence[str], vectors: Vectors, labels: NDArray[np.int64]) -> dict[str, Any]:
    """Similarities of all lines, or of the most typical ones when there are many."""
    chosen = list(range(len(lines)))
    if len(lines) > HEAT_LINES:
        chosen = sorted(projection.typical(vectors, labels, HEAT_LINES))
    cosines = vectors[chosen] @ vectors[chosen].T
    return {
        "of": fingerprint(lines),
        "n": len(lines),
        "rows": chosen,
        "lines": [_cut(lines[i]) for i in chosen],
        "cosines": _thousandths(cosines),
        "order": projection.order(cosines),
        "summary": summary([lines[i] for i in chosen], cosines),
    }


def summary(lines: Sequence[str], cosines: NDArray[np.float32]) -> str:
    """The chart in words, as HTML: the closest pairs, and the line that is like no other."""
    if len(lines) < 2:  # noqa: PLR2004 -- one line has no pair
        return "<p>One line has nothing to be compared with. Add another.</p>"
    rows, columns = np.triu_indices(len(lines), 1)
    best = np.argsort(-cosines[rows, columns], kind="stable")[:N_PAIRS]
    pairs = "".join(_pair(lines, int(rows[i]), int(columns[i]), cosines) for i in best)
    others = cosines - np.eye(len(lines), dtype=np.float32) * 2
    alone = int(others.max(axis=1).argmin())
    return (
        f"<h3>Most alike</h3><ul>{pairs}</ul><h3>Most on its own</h3>"
        f"<ul><li><b>{others[alone].max():.2f}</b> {_quoted(lines[alone])}</li></ul>"
    )


def _thousandths(values: NDArray[np.float32]) -> list[int]:
    return [int(value) for value in (values * 1000).round().ravel()]


def _pair(lines: Sequence[str], one: int, other: int, cosines: NDArray[np.float32]) -> str:
    return f"<li><b>{cosines[one, other]:.2f}</b> {_quoted(lines[one])} {_quoted(lines[other])}</li>"


def _quoted(line: str) -> str:
    return f'<q dir="auto">{escape(_cut(line))}</q>'


def _cut(line: str) -> str:
    return line if len(line) <= MAP_CHARACTERS else f"{line[:MAP_CHARACTERS]}\u2026"
