"""A process of its own that lays a collection out in a plane and finds its clusters.

    python -m ui.map_worker FOLDER

`FOLDER` holds `vectors.npy` (float32, shape (n, d)); `layout.npz` with `xy` (n, 2) and `labels` (n,) is
written beside it. Each line on standard output is a share of the work, 0 to 1. scikit-learn lives and dies
here, so that the replica of the pages never holds it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import HDBSCAN
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

N_COMPONENTS = 30
"""More directions than this are noise to neighbours, and time."""
N_ITERATIONS = 500
PERPLEXITY = 20
COARSENESS = 0.7
"""Barnes-Hut's angle: 0.5 takes twice as long and looks the same."""
FEWEST = 5
"""Points of a cluster, at least."""
CLUSTERS = 60
"""A cluster holds at least this part of all points."""
_ITERATION = re.compile(r"Iteration (\d+):")
Plane = NDArray[np.float32]


def main() -> None:
    """Read, lay out, write."""
    folder = Path(sys.argv[1])
    vectors = np.load(folder / "vectors.npy")
    with _reported():
        flat = layout(vectors)
    np.savez(folder / "layout.npz", xy=flat, labels=clusters(flat))


def layout(vectors: Plane) -> Plane:
    """Neighbours stay neighbours (t-SNE), within [-1, 1]; the same vectors always give the same picture."""
    n, dimensions = vectors.shape
    parts = PCA(min(N_COMPONENTS, n, dimensions), random_state=0).fit_transform(vectors)
    start = parts[:, :2] / (parts[:, 0].std() or 1.0) * 1e-4
    sketch = TSNE(
        init=np.asarray(start, np.float32),
        perplexity=min(PERPLEXITY, (n - 1) / 3),
        angle=COARSENESS,
        max_iter=N_ITERATIONS,
        random_state=0,
        n_jobs=1,
        verbose=2,
    ).fit_transform(parts)
    sketch = sketch - (sketch.max(axis=0) + sketch.min(axis=0)) / 2
    return np.asarray(sketch / (np.abs(sketch).max() or 1.0), np.float32)


def clusters(flat: Plane) -> NDArray[np.int64]:
    """A number for each point's cluster, 0 for the largest, -1 for points between clusters."""
    found = HDBSCAN(min_cluster_size=max(FEWEST, len(flat) // CLUSTERS), copy=True).fit_predict(flat)
    sizes = np.bincount(found[found >= 0]) if (found >= 0).any() else np.zeros(0, np.int64)
    places = np.argsort(np.argsort(-sizes, kind="stable"))
    return np.array([places[label] if label >= 0 else -1 for label in found], np.int64)


@contextmanager
def _reported() -> Iterator[None]:
    """t-SNE says on standard output where it is; what the parent reads is a share."""
    real = sys.stdout
    sys.stdout = _Shares(real)
    try:
        yield
    finally:
        sys.stdout = real


class _Shares:
    """A file that turns `Iteration 250: ...` into `0.5`."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def write(self, text: str) -> int:
        if found := _ITERATION.search(text):
            self._real.write(f"{int(found.group(1)) / N_ITERATIONS:.3f}\n")
            self._real.flush()
        return len(text)

    def flush(self) -> None:
        self._real.flush()


if __name__ == "__main__":
    main()
