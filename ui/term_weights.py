"""BM25 taken apart: which of a query's words are in a passage, and how much each of them counts."""

from __future__ import annotations

import math
import re
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from serve_apps.contracts_knowledge import Knowledge
from serve_apps.wire_knowledge import Document, Passage

__all__ = ["CollectionWords", "Term", "WordStatistics", "spans", "terms", "words"]

K1, B = 1.2, 0.75
"""The store's own constants."""
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
    """Passages of the collection that have it; None where it was not counted."""
    weight: float | None
    """Its part of the BM25 score, about."""


def words(text: str) -> list[str]:
    """The words as BM25 compares them."""
    return [match.group().lower() for match in _WORD.finditer(text)]


def spans(text: str, wanted: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Where the wanted words stand in `text`."""
    chosen = set(wanted)
    for match in _WORD.finditer(text):
        if match.group().lower() in chosen:
            yield match.span()


def terms(query: str, text: str, statistics: WordStatistics | None) -> list[Term]:
    """The query's words, those that count most first."""
    counts = Counter(words(text))
    length = sum(counts.values())
    found = [_term(word, counts[word], length, statistics) for word in dict.fromkeys(words(query))]
    return sorted(found, key=lambda term: -(term.weight if term.weight is not None else term.count))


def _term(word: str, count: int, length: int, statistics: WordStatistics | None) -> Term:
    if statistics is None or not statistics.n_passages:
        return Term(word=word, count=count, n_with=None, weight=None)
    n_with = statistics.n_with[word]
    rarity = math.log(1 + (statistics.n_passages - n_with + 0.5) / (n_with + 0.5))
    often = count * (K1 + 1) / (count + K1 * (1 - B + B * length / (statistics.mean_length or 1)))
    return Term(word=word, count=count, n_with=n_with, weight=rarity * often)


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
