"""The protocol of the knowledge stage's engine: the store of vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from serve_apps.wire import ModelCard, Vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchScope:
    """Which documents a search of the vector store looks at, by their numbers in the catalogue."""

    documents: tuple[int, ...] | None = None
    """None: all."""
    without: tuple[int, ...] = ()


class VectorStore(Protocol):
    """A library that finds the nearest of many vectors. Blocking: the stage calls it on its threads.

    It holds copies of what is in the catalogue, in one collection a generation of vectors. One thread writes;
    any may read. What was inserted is found from the next `flush` on, at the latest.

    Every method raises StageUnavailable when the store cannot be reached, StageFailed when it fails.
    """

    card: ModelCard
    is_shared: bool
    """Other processes may write to it, too: what is in it need not be ours."""

    def create(self, name: str, dimensions: int) -> None:
        """Make a collection ready to use; nothing happens when it is."""
        ...

    def drop(self, name: str) -> None:
        """Delete a collection; nothing happens when there is none."""
        ...

    def names(self) -> set[str]:
        """Every collection of ours, and perhaps of other installations."""
        ...

    def insert(
        self, name: str, keys: Sequence[int], documents: Sequence[int], texts: Sequence[str], vectors: Vectors
    ) -> None:
        """Passages, in place of those of the same keys; `vectors` of shape (len(keys), d)."""
        ...

    def flush(self, name: str) -> None:
        """Write down and index what was inserted and deleted; searches are slow until then."""
        ...

    def delete(self, name: str, documents: Sequence[int]) -> None:
        """Every passage of these documents."""
        ...

    def count(self, name: str, scope: SearchScope) -> int:
        """Passages in a collection; 0 if there is no such collection."""
        ...

    def dense(self, name: str, vector: Vectors, limit: int, scope: SearchScope) -> list[tuple[int, float]]:
        """(passage key, cosine), best first; `vector` of shape (d,)."""
        ...

    def bm25(self, name: str, query: str, limit: int, scope: SearchScope) -> list[tuple[int, float]]:
        """(passage key, BM25), best first; higher is better."""
        ...

    def close(self) -> None:
        """Release files and connections."""
        ...
