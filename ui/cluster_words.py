"""Names for clusters: the words that are in one and hardly in the others (class-based TF-IDF)."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

__all__ = ["cluster_words"]

N_WORDS = 3
FEWEST_LETTERS = 3
_WORD = re.compile(r"[^\W\d_]{%d,}" % FEWEST_LETTERS, re.UNICODE)
COMMON = 0.35
"""A word in more than this part of all texts says nothing about any: `the`, in every language."""


def cluster_words(texts: Sequence[str], labels: Sequence[int]) -> dict[int, str]:
    """The most distinctive words of every cluster, `oil, engine, filter`; label -1 is no cluster."""
    by_text = [Counter(match.group().lower() for match in _WORD.finditer(text)) for text in texts]
    clusters: dict[int, Counter[str]] = {}
    n_with: Counter[str] = Counter()
    for counts, label in zip(by_text, labels, strict=True):
        n_with.update(counts.keys())
        if label >= 0:
            clusters.setdefault(label, Counter()).update(counts)
    told = {word for word, n in n_with.items() if n <= max(2, COMMON * len(texts))}
    everywhere: Counter[str] = Counter()
    for counts in clusters.values():
        everywhere.update(counts)
    mean = sum(everywhere.values()) / max(1, len(clusters))
    return {label: _name(counts, everywhere, told, mean) for label, counts in sorted(clusters.items())}


def _name(counts: Counter[str], everywhere: Counter[str], told: set[str], mean: float) -> str:
    total = sum(counts.values()) or 1
    weights = {
        word: n / total * math.log(1 + mean / everywhere[word]) for word, n in counts.items() if word in told
    }
    best = sorted(weights, key=lambda word: (-weights[word], word))[:N_WORDS]
    return ", ".join(best)
