"""BM25 taken apart: which of a query's words are in a passage, and how much each of them counts."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

from serve_apps.contracts_knowledge import Knowledge
from serve_apps.settings import ASSETS
from serve_apps.wire_knowledge import Document, Passage

__all__ = ["CollectionWords", "Term", "WordStatistics", "common_words", "spans", "terms", "words"]

K1, B, RAREST = 1.2, 0.75, 1e-6
"""As SQLite's full-text index has them. Source: https://www.sqlite.org/fts5.html#the_bm25_function"""
COMMON_SHARE = 0.2
"""A word in more of the passages than this is not searched, where there are others."""
MOST_PASSAGES = 20_000
"""Of a collection whose words are counted; larger ones are explained without numbers."""
PAGE = 1_000
KEPT = 4
"""Collections whose counts one page remembers: 3 MB each."""
_WORD = re.compile(r"\w+", re.UNICODE)


@dataclass(frozen=True, slots=True)
class WordStatistics:
    """What BM25 must know of a whole collection."""

    n_passages: int
    mean_length: float
    """Words of a passage."""
    n_with: Counter[str]
    """Passages that hold a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A word of the query."""

    word: str
    count: int
    """How often the passage has it."""
    n_with: int | None
    """Passages of the collection that have it; None where that does not matter or is not known."""
    weight: float | None
    """Its part of the BM25 score, about; None where it does not count, or that is not known."""


def words(text: str) -> list[str]:
    """The words as BM25 compares them: in lower case, without accents."""
    return [_folded(match.group()) for match in _WORD.finditer(text)]


def spans(text: str, wanted: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Where the wanted words stand in `text`."""
    chosen = set(wanted)
    for match in _WORD.finditer(text):
        if _folded(match.group()) in chosen:
            yield match.span()


def terms(query: str, text: str, statistics: WordStatistics | None, score: float | None = None) -> list[Term]:
    """The query's words, those that count most first.

    Args:
        query: what was asked.
        text: the passage.
        statistics: of its collection; without, only the passage's own counts are known.
        score: the store's BM25 of the passage, which the weights are made to add up to.
    """
    counts = Counter(words(text))
    asked = list(dict.fromkeys(words(query)))
    telling = _telling(asked, statistics)
    length = sum(counts.values())
    found = [_term(word, counts[word], length, statistics if word in telling else None) for word in asked]
    total = sum(term.weight or 0 for term in found)
    if score is not None and total:
        found = [_scaled(term, score / total) for term in found]
    return sorted(found, key=lambda term: (-(term.weight or 0), -term.count))


def _telling(asked: Sequence[str], statistics: WordStatistics | None) -> set[str]:
    """Words that the store searches: common ones only where there are no others."""
    if statistics is None:
        return set()
    some = [word for word in asked if word not in common_words() and statistics.n_with[word]]
    most = COMMON_SHARE * statistics.n_passages
    telling = {word for word in some if statistics.n_with[word] <= most}
    return telling or set(sorted(some or asked, key=lambda word: statistics.n_with[word])[:3])


def _term(word: str, count: int, length: int, statistics: WordStatistics | None) -> Term:
    if statistics is None or not statistics.n_passages:
        return Term(word=word, count=count, n_with=None, weight=None)
    n_with = statistics.n_with[word]
    rarity = max(RAREST, math.log((statistics.n_passages - n_with + 0.5) / (n_with + 0.5)))
    often = count * (K1 + 1) / (count + K1 * (1 - B + B * length / (statistics.mean_length or 1)))
    return Term(word=word, count=count, n_with=n_with, weight=rarity * often)


def _scaled(term: Term, by: float) -> Term:
    return term if term.weight is None else replace(term, weight=term.weight * by)


def _folded(word: str) -> str:
    apart = unicodedata.normalize("NFD", word.lower())
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


@cache
def common_words() -> frozenset[str]:
    """English words that texts are made of, and that tell nothing."""
    return frozenset((ASSETS / "common_words.txt").read_text(encoding="utf-8").split())


class CollectionWords:
    """Word counts of collections, made when a passage is first explained, kept while its documents stay."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self._kept: OrderedDict[tuple[str, ...], WordStatistics] = OrderedDict()

    async def of(self, user: str, collection_id: str) -> WordStatistics | None:
        """The counts, or None for a collection that is too large to count on the way.

        Raises:
            NotFound: there is no such collection for this user.
        """
        documents = await self._knowledge.documents(user, collection_id)
        if sum(document.n_passages for document in documents) > MOST_PASSAGES:
            return None
        name = _name(collection_id, documents)
        if name not in self._kept:
            self._kept[name] = await self._counted(user, collection_id)
        self._kept.move_to_end(name)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[name]

    async def _counted(self, user: str, collection_id: str) -> WordStatistics:
        n_with: Counter[str] = Counter()
        n_passages = n_words = 0
        while page := await self._knowledge.passages(user, collection_id, limit=PAGE, offset=n_passages):
            lengths = [_count(passage, n_with) for _, passage in page]
            n_passages += len(page)
            n_words += sum(lengths)
        return WordStatistics(n_passages, n_words / max(1, n_passages), n_with)


def _count(passage: Passage, n_with: Counter[str]) -> int:
    found = words(passage.text)
    n_with.update(set(found))
    return len(found)


def _name(collection_id: str, documents: Sequence[Document]) -> tuple[str, ...]:
    """A collection's content: a replaced document has another id."""
    return (collection_id, *sorted(document.id for document in documents))
