"""Vectors of the sentences of passages, remembered: the same passages answer many questions."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np

from serve_apps.wire import Vectors

MAX_SENTENCES = 20_000
"""Kept at a time: 30 MB at 384 dimensions. Under a hash, so that no text stays here when it is deleted."""


class SentenceVectors:
    """The most recently used passages' sentences as vectors.

    Args:
        embed: texts to vectors, shape (n, d).
        split: a passage to its sentences, at least one.
        max_sentences: how many to keep.
    """

    def __init__(
        self,
        embed: Callable[[Sequence[str]], Vectors],
        split: Callable[[str], list[str]],
        max_sentences: int = MAX_SENTENCES,
    ) -> None:
        self._embed = embed
        self._split = split
        self._max_sentences = max_sentences
        self._kept: OrderedDict[bytes, Vectors] = OrderedDict()
        self._n_kept = 0

    def of(self, passages: Sequence[str]) -> list[Vectors]:
        """For each passage its sentences' vectors, float32, shape (n_sentences, d)."""
        keys = [hashlib.sha256(passage.encode("utf-8", "surrogatepass")).digest() for passage in passages]
        new = {key: passage for key, passage in zip(keys, passages, strict=True) if key not in self._kept}
        fresh = self._made(new)
        found = [fresh[key] if key in fresh else self._kept[key] for key in keys]
        self._keep(dict(zip(keys, found, strict=True)))
        return found

    def _made(self, passages: dict[bytes, str]) -> dict[bytes, Vectors]:
        """All new sentences through the encoder together."""
        if not passages:
            return {}
        split = {key: self._split(passage) for key, passage in passages.items()}
        vectors = self._embed([sentence for part in split.values() for sentence in part])
        ends = np.cumsum([len(part) for part in split.values()])
        return dict(zip(split, np.split(vectors, ends[:-1]), strict=True))

    def _keep(self, used: dict[bytes, Vectors]) -> None:
        for key, vectors in used.items():
            self._n_kept += 0 if key in self._kept else len(vectors)
            self._kept[key] = vectors
            self._kept.move_to_end(key)
        while self._n_kept > self._max_sentences:
            self._n_kept -= len(self._kept.popitem(last=False)[1])
