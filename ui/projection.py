"""Vectors made visible: a plane to look at, groups to colour, an order in which likes are neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from serve_apps.wire import Vectors

__all__ = ["groups", "order", "plane", "typical"]

Labels = NDArray[np.int64]

MOST_GROUPS = 8
"""As many colours as people tell apart."""
SAMPLE = 2_000
"""Vectors that the search for groups looks at; the others join the nearest group."""
N_STARTS = 6
N_STEPS = 25
"""k-means settles long before, on texts."""


def plane(vectors: Vectors) -> NDArray[np.float32]:
    """The two directions in which the vectors differ most (PCA), shape (n, 2), within [-1, 1].

    The same vectors always give the same picture: signs are fixed, nothing is random.
    """
    centred = vectors - vectors.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    axes = directions[:, -1:-3:-1]
    largest = np.abs(axes).argmax(axis=0)
    flat = centred @ (axes * np.sign(axes[largest, np.arange(axes.shape[1])]))
    widest = float(np.abs(flat).max(initial=0))
    return np.asarray(flat / widest if widest > np.finfo(np.float32).eps else np.zeros_like(flat), np.float32)


def groups(vectors: Vectors) -> Labels:
    """A group number for each vector, shape (n,), 0 for the largest group; few vectors are one group."""
    if len(vectors) < MOST_GROUPS:
        return np.zeros(len(vectors), np.int64)
    sample = vectors[np.linspace(0, len(vectors) - 1, min(len(vectors), SAMPLE)).astype(int)]
    most = min(MOST_GROUPS, round(np.sqrt(len(vectors)) * 0.9))
    tried = [_centres(sample, n) for n in range(2, most + 1)]
    centres = max(tried, key=lambda found: _separation(sample, found))
    labels = (vectors @ centres.T).argmax(axis=1)
    by_size = np.argsort(-np.bincount(labels, minlength=len(centres)), kind="stable")
    return np.asarray(np.argsort(by_size)[labels], np.int64)


def typical(vectors: Vectors, labels: Labels, n: int) -> list[int]:
    """Positions of `n` vectors that stand for all: the most central of every group in turn."""
    ranks = np.empty(len(vectors), np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        nearness = vectors[members] @ vectors[members].mean(axis=0)
        ranks[members[np.argsort(-nearness, kind="stable")]] = np.arange(len(members))
    return [int(position) for position in np.lexsort((labels, ranks))[:n]]


def order(similarities: NDArray[np.float32]) -> list[int]:
    """Positions in an order that puts likes side by side (the Fiedler vector of their graph)."""
    weights = np.square(np.clip(similarities, 0, 1))
    laplacian = np.diag(weights.sum(axis=1)) - weights
    if len(laplacian) < 3:  # noqa: PLR2004 -- nothing to order
        return list(range(len(laplacian)))
    return [int(position) for position in np.argsort(np.linalg.eigh(laplacian)[1][:, 1], kind="stable")]


def _centres(vectors: Vectors, n: int) -> Vectors:
    """Spherical k-means: the tightest of a few starts, the same ones every time."""
    random = np.random.default_rng(n)
    starts = [vectors[random.choice(len(vectors), n, replace=False)] for _ in range(N_STARTS)]
    return max(
        (_settled(vectors, start) for start in starts), key=lambda c: float((vectors @ c.T).max(1).sum())
    )


def _settled(vectors: Vectors, centres: Vectors) -> Vectors:
    for _ in range(N_STEPS):
        nearest = np.eye(len(centres), dtype=np.float32)[(vectors @ centres.T).argmax(axis=1)]
        sums = nearest.T @ vectors
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        moved = np.where(lengths > 0, sums / np.maximum(lengths, np.finfo(np.float32).tiny), centres)
        if np.allclose(moved, centres, atol=1e-4):
            break
        centres = moved
    return np.asarray(centres, np.float32)


def _separation(vectors: Vectors, centres: Vectors) -> float:
    """How much nearer vectors are to their own centre than to the next: a silhouette over centres."""
    distances = np.sort(1 - vectors @ centres.T, axis=1)
    own, other = distances[:, 0], distances[:, 1]
    return float(((other - own) / np.maximum(other, np.finfo(np.float32).eps)).mean())
