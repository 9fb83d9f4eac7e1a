"""The passages of collections as points: loaded page by page, projected, described for the map's script."""

from __future__ import annotations

import asyncio
import base64
import math
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serve_apps.contracts_knowledge import Knowledge, PassageVector
from serve_apps.wire import Vectors
from serve_apps.wire_knowledge import Collection
from ui import projection
from ui.cluster_words import cluster_words
from ui.excerpts import excerpt
from ui.map_layout import Layout

__all__ = ["MOST_POINTS", "Points", "load"]

MOST_POINTS = 10_000
"""Of larger collections every n-th passage is shown."""
PAGE = 500
FINE = 10_000
"""Steps of a coordinate from 0 to 1."""
SHOWN_CHARACTERS = 200


@dataclass(slots=True)
class Points:
    """What the map shows."""

    n_passages: int
    """Of the collections, of which these are some or all."""
    vectors: Vectors = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    """Shape (n, d)."""
    documents: list[tuple[str, str]] = field(default_factory=list)
    """Id and name."""
    of: list[int] = field(default_factory=list)
    """Each point's document."""
    indices: list[int] = field(default_factory=list)
    """Each point's place in its document."""
    pages: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    """Cut short."""

    def straight(self) -> dict[str, Any]:
        """The map at once: texts, documents, and the plane in which they differ most."""
        return {
            "n_passages": self.n_passages,
            "documents": [{"id": document_id, "name": name} for document_id, name in self.documents],
            "of": _packed(self.of),
            "indices": _packed(self.indices),
            "pages": _packed(self.pages),
            "texts": self.texts,
            "xy": _packed(projection.plane(self.vectors) * FINE),
            "clusters": [],
            "labels": "",
            "refined": False,
        }

    def refined(self, layout: Layout) -> dict[str, Any]:
        """What replaces parts of `straight`: the better layout, and its clusters with names."""
        labels = [int(label) for label in layout.labels]
        names = cluster_words(self.texts, labels)
        return {
            "xy": _packed(layout.xy * FINE),
            "labels": _packed(labels),
            "refined": True,
            "clusters": [names.get(i, "") for i in range(max(names, default=-1) + 1)],
        }


async def load(
    knowledge: Knowledge, user: str, collections: Sequence[Collection]
) -> AsyncGenerator[float | Points, None]:
    """Yield the share that is loaded, then the points.

    Raises:
        NotFound: the user may not read one of them.
    """
    points = Points(sum(collection.n_passages for collection in collections))
    step = max(1, math.ceil(points.n_passages / MOST_POINTS))
    kept: list[Vectors] = []
    known: dict[str, int] = {}
    n_seen = 0
    for collection in collections:
        offset = 0
        while page := await knowledge.vectors(user, collection.id, limit=PAGE, offset=offset):
            chosen = page[-n_seen % step :: step]
            kept += [item.vector for item in chosen]
            _add(points, known, chosen)
            offset, n_seen = offset + len(page), n_seen + len(page)
            yield n_seen / max(1, points.n_passages)
    points.vectors = await asyncio.to_thread(_stacked, kept)
    yield points


def _add(points: Points, known: dict[str, int], chosen: Sequence[PassageVector]) -> None:
    for item in chosen:
        if item.document_id not in known:
            known[item.document_id] = len(known)
            points.documents.append((item.document_id, item.document_name))
        points.of.append(known[item.document_id])
        points.indices.append(item.passage.index)
        points.pages.append(item.passage.page)
        points.texts.append(excerpt(item.passage.text, SHOWN_CHARACTERS))


def _stacked(kept: list[Vectors]) -> Vectors:
    return np.stack(kept) if kept else np.zeros((0, 1), np.float32)


def _packed(values: Sequence[int] | NDArray[np.float32]) -> str:
    """Whole numbers as base64 of int32: Gradio compares what it sends with what it sent, item by item."""
    whole = np.asarray(np.round(np.asarray(values)), "<i4")
    return base64.b64encode(whole.tobytes()).decode()
