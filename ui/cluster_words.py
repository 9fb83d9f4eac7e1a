"""Names for clusters: the words that are in one and hardly in the others (class-based TF-IDF)."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from ui.term_weights import common_words

__all__ = ["cluster_words"]

N_WORDS = 3
_WORD = re.compile(r"[^\W\d_]{3,}", re.UNICODE)
COMMON_SHARE = 0.5
"""A word in more than this part of all texts says nothing about any, in every language."""


def cluster_words(texts: Sequence[str], labels: Sequence[int]) -> dict[int, str]:
    """The most distinctive words of every cluster, `oil, engine, filter`; label -1 is no cluster."""
    by_text = [Counter(match.group().lower() for match in _WORD.finditer(text)) for text in texts]
    clusters: dict[int, Counter[str]] = {}
    n_with: Counter[str] = Counter()
    for counts, label in zip(by_text, labels, strict=True):
        n_with.update(counts.keys())
        if label >= 0:
            clusters.setdefault(label, Counter()).update(counts)
    most = max(2, COMMON_SHARE * len(texts))
    told = {word for word, n in n_with.items() if n <= most and word not in common_words()}
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
