"""Vectors and similarities as files to download."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from serve_apps.errors import TextTooLong
from serve_apps.wire import Vectors

__all__ = ["CHOICES", "written"]

CHOICES = ("Vectors, CSV", "Vectors, JSON", "Similarities, CSV", "Similarities, JSON")
MAX_SIMILAR_LINES = 2_000
"""Four million similarities: a file of 30 MB, which is as much as a spreadsheet opens."""


def written(choice: str, lines: Sequence[str], vectors: Vectors, model: str) -> Path:
    """Write one of `CHOICES` into a new temporary folder.

    Raises:
        TextTooLong: similarities of more than `MAX_SIMILAR_LINES` lines.
    """
    what, _, kind = choice.lower().partition(", ")
    path = Path(tempfile.mkdtemp(prefix="raydio-")) / f"{what}.{kind}"
    values = vectors if what == "vectors" else _similarities(vectors)
    with path.open("w", encoding="utf-8", newline="") as file:
        if kind == "csv":
            header = range(values.shape[1]) if what == "vectors" else lines
            csv.writer(file).writerows(_table(lines, values, header))
        else:
            json.dump({"model": model, "lines": list(lines), what: values.round(6).tolist()}, file)
    return path


def _similarities(vectors: Vectors) -> NDArray[np.float32]:
    if len(vectors) > MAX_SIMILAR_LINES:
        raise TextTooLong(
            f"Similarities of {len(vectors):,} lines are {len(vectors) ** 2:,} numbers.",
            f"Download them for at most {MAX_SIMILAR_LINES:,} lines, or download the vectors.",
        )
    return vectors @ vectors.T


def _table(
    lines: Sequence[str], values: NDArray[np.float32], header: Sequence[object]
) -> Iterator[list[object]]:
    yield ["line", *header]
    for line, row in zip(lines, values, strict=True):
        yield [line, *(f"{value:.6f}" for value in row)]
