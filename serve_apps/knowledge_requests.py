"""Bodies of the documents' door as its callers send them, strictly checked, and what they ask for."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from serve_apps.rest import MAX_TAGS, Id, Label, Strict
from serve_apps.wire_knowledge import DocumentKind, Filters, Retrieval, SearchMethod

MAX_QUERY_CHARACTERS = 10_000
MAX_RESULTS = 200
MAX_URLS = 1000
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Tags = Annotated[list[Label], Field(max_length=MAX_TAGS)]


class NewCollectionBody(Strict):
    """A collection to create."""

    name: Name
    shared: bool = False


class CollectionChangeBody(Strict):
    """PATCH of a collection; what is left out stays."""

    name: Name | None = None
    shared: bool | None = None


class TagsBody(Strict):
    """A document's tags, in place of those it has."""

    tags: Tags

    def cleaned(self) -> tuple[str, ...]:
        """Once each, without empty ones."""
        return cleaned_tags(self.tags)


class UrlsBody(Strict):
    """Web addresses to add."""

    urls: Annotated[list[str], Field(min_length=1, max_length=MAX_URLS)]
    tags: Tags = Field(default_factory=list)


class FiltersBody(Strict):
    """What a search is limited to."""

    documents: tuple[Id, ...] = ()
    names: tuple[str, ...] = ()
    kinds: tuple[DocumentKind, ...] = ()
    tags: tuple[str, ...] = ()
    added_after_s: float | None = None
    added_before_s: float | None = None


class SearchBody(Strict):
    """A search in what the user may read."""

    query: Annotated[str, StringConstraints(max_length=MAX_QUERY_CHARACTERS)]
    collections: tuple[Id, ...] = ()
    method: SearchMethod = "hybrid"
    top_k: int = Field(default=10, ge=1, le=MAX_RESULTS)
    n_candidates: int | None = Field(default=None, ge=1, le=MAX_RESULTS)
    rerank: bool = True
    filters: FiltersBody = FiltersBody()
    min_score: float | None = None

    def to_wire(self) -> Retrieval:
        """The search as the retriever takes it; without `min_score` nothing is left out."""
        return Retrieval(
            collections=self.collections,
            method=self.method,
            n_candidates=self.n_candidates,
            n_passages=self.top_k,
            rerank=self.rerank,
            min_score=float("-inf") if self.min_score is None else self.min_score,
            filters=Filters(**dict(self.filters)),
        )


def cleaned_tags(tags: list[str]) -> tuple[str, ...]:
    """Once each, without empty ones."""
    return tuple(dict.fromkeys(tag for tag in tags if tag))
