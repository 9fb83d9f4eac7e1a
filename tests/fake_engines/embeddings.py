"""An embeddings engine without weights: hashed bags of words, so that shared words mean near vectors."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np

from serve_apps.args import EmbeddingsArgs, RerankerArgs
from serve_apps.wire import ModelCard, Vectors


class HashedEmbeddings:
    """Counts each text's words in `dimensions` hashed buckets; the last bucket holds a constant.

    `n_texts_of_calls` remembers how the stage batched.
    """

    dimensions = 64
    max_tokens = 256

    def __init__(self, args: EmbeddingsArgs | RerankerArgs) -> None:
        self.card = ModelCard(
            stage="embeddings",
            engine=args.engine,
            model="hashed words",
            size_bytes=0,
            licence="Apache-2.0",
            source="tests/fake_engines/embeddings.py",
        )
        self.n_texts_of_calls: list[int] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.n_texts_of_calls.append(len(texts))
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        vectors[:, -1] = 0.5  # so that a text without words has a direction too
        for row, text in zip(vectors, texts, strict=True):
            for word in _words(text)[: self.max_tokens]:
                row[_bucket(word, self.dimensions - 1)] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).astype(np.float32)

    def count_tokens(self, texts: Sequence[str]) -> int:
        return sum(min(len(_words(text)), self.max_tokens) for text in texts)

    def close(self) -> None:
        pass


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _bucket(word: str, n_buckets: int) -> int:
    return int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big") % n_buckets
