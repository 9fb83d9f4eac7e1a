"""Numbers in an answer, `[2]`, that say which passage a sentence rests on: checked, and added where missing.

A language model's own numbers are a claim: a sentence keeps one only if the passage holds its words and all
its figures. A sentence without numbers gets that of the passage that clearly holds it. Pure text, no model:
small models cite badly, and a second model that checks would cost more than the first token.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain, pairwise

from serve_apps.settings import ASSETS

CLAIMED_SUPPORT = 0.5
"""Share of a sentence's weight that a passage must hold for the model's own number to stay."""
FOUND_SUPPORT = 0.7
"""The same for a number that the model did not give."""
MIN_WORDS = 2
"""Sentences with fewer words of content say too little to be traced."""
_WORD = re.compile(r"[^\W_]+(?:[.,:]\d+)*|_", re.UNICODE)
_SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|[。！？]|\n+")  # noqa: RUF001
_DENSE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")
"""Scripts without spaces between words: compared by pairs of characters."""
_COMMON = frozenset((ASSETS / "common_words.txt").read_text(encoding="utf-8").split())


class Support:
    """How well passages hold a sentence: what two of their sentences hold that follow each other.

    Args:
        passages: in the order of their numbers, the first is [1].
    """

    def __init__(self, passages: Sequence[str]) -> None:
        self._passages = tuple(passages)

    def __len__(self) -> int:
        return len(self._passages)

    @cached_property
    def _terms(self) -> list[list[set[str]]]:
        """Made for the first sentence: the model is reading meanwhile, and waits for nothing."""
        return [_windows(passage) for passage in self._passages]

    def of(self, sentence: str) -> list[float]:
        """For each passage the share of the sentence that it holds, 0 to 1; all its figures or nothing."""
        wanted = _terms(sentence)
        if len(wanted) < MIN_WORDS:
            return [0.0] * len(self)
        return [max(self._share(wanted, held) for held in windows) for windows in self._terms]

    @staticmethod
    def says_something(sentence: str) -> bool:
        """Whether there is enough in it to be traced."""
        return len(_terms(sentence)) >= MIN_WORDS

    @staticmethod
    def _share(wanted: set[str], held: set[str]) -> float:
        if any(term not in held for term in wanted if term[0].isdigit()):
            return 0.0
        weight = sum(map(_weight, wanted))
        return sum(_weight(term) for term in wanted if term in held) / weight

    def numbers(self, sentence: str, claimed: Iterable[int]) -> tuple[int, ...]:
        """The numbers, from 1, that a sentence may carry: claimed ones that hold it, else the best holder."""
        shares = self.of(sentence)
        kept = {n for n in claimed if 0 < n <= len(self) and shares[n - 1] >= CLAIMED_SUPPORT}
        if kept:
            return tuple(sorted(kept))
        best = max(range(len(shares)), key=shares.__getitem__, default=None)
        return (best + 1,) if best is not None and shares[best] >= FOUND_SUPPORT else ()


def without_numbers(text: str) -> str:
    """An answer's text as its author wrote it, for a model to read again."""
    return re.sub(r"[ \t]*\[\d{1,3}(?:\s*[,;]\s*\d{1,3})*\](?!\()", "", text)


def n_content_words(text: str) -> int:
    """Words that say what a text is about; few of them need what was said before."""
    return len(_terms(text))


def _windows(passage: str) -> list[set[str]]:
    """What every two neighbouring sentences are about: words from all over a passage make no statement."""
    sentences = [found for part in _SENTENCE_END.split(passage) if (found := _terms(part))]
    return [one | other for one, other in pairwise(sentences)] or [*sentences, set()][:1]


def _terms(text: str) -> set[str]:
    """What a text is about: stems of its words without the commonest, and its figures."""
    found = (_stem(word) for word in _WORD.findall(text.lower()) if word not in _COMMON)
    return set(chain.from_iterable(found))


def _stem(word: str) -> tuple[str, ...]:
    if _DENSE.search(word):
        return tuple(word[i : i + 2] for i in range(max(1, len(word) - 1)))
    if word[0].isdigit():
        return (word.replace(",", "").rstrip("."),)
    for ending in ("ations", "ation", "ings", "ing", "ies", "es", "ed", "ly", "s"):
        if word.endswith(ending) and len(word) - len(ending) > 2:  # noqa: PLR2004 (a stem of three letters)
            return (word.removesuffix(ending),)
    return (word.removesuffix("e"),) if len(word) > 3 else (word,)  # noqa: PLR2004


def _weight(term: str) -> float:
    """Figures and long words say more."""
    return 2.0 if term[0].isdigit() else min(len(term), 8) / 4
