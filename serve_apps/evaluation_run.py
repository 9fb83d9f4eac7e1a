"""Asking a running Raydio the questions of a set, over its `/v1` door, like any other program."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from serve_apps.errors import InputError, NotFound, NotRunning, RaydioError, StageFailed
from serve_apps.evaluation_data import Entry, Question

FILES_AT_ONCE = 200
TIMEOUT_S = 600.0
"""For adding `FILES_AT_ONCE` passages on a slow machine."""
Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is, and how much there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to search."""

    method: str
    rerank: bool

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.method} + reranker" if self.rerank else self.method


WAYS = tuple(
    Way(method=method, rerank=rerank) for rerank in (False, True) for method in ("dense", "bm25", "hybrid")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one search gave."""

    ranking: tuple[str, ...]
    """Ids of the set, best first; a passage's document stands for it."""
    scores: tuple[float, ...]
    """One for each of them."""
    latency_ms: float
    """As the program that asks sees it."""


class Door:
    """The documents' part of `/v1`.

    Args:
        client: with the base address and the credential; tests give one of their own.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def collection_id(self, wanted: str) -> str:
        """The id of a collection given by id or name.

        Raises:
            NotFound: there is none.
        """
        for collection in self._ask("GET", "/v1/collections")["data"]:
            if wanted in (collection["id"], collection["name"]):
                return str(collection["id"])
        raise NotFound(f"There is no collection {wanted!r}.", "The documents panel lists them.")

    @contextmanager
    def collection_of(self, entries: Sequence[Entry], progress: Progress) -> Iterator[str]:
        """A collection with one document for each entry, deleted at the end whatever happens."""
        name = f"Evaluation {secrets.token_hex(4)}"
        made = self._ask("POST", "/v1/collections", json={"name": name})
        try:
            self._add_all(made["id"], entries, progress)
            yield str(made["id"])
        finally:
            self._ask("DELETE", f"/v1/collections/{made['id']}")

    def search(self, collection_id: str, query: str, way: Way, k: int, ids: Mapping[str, str]) -> Found:
        """Search one collection.

        Args:
            collection_id: where.
            query: what for.
            way: how.
            k: passages wanted.
            ids: document names to ids of the set; a name that is not there stands for itself.
        """
        asked = {"collections": [collection_id], "query": query, "method": way.method, "rerank": way.rerank}
        started = time.perf_counter()
        answer = self._ask("POST", "/v1/search", json={**asked, "top_k": k})
        latency_ms = (time.perf_counter() - started) * 1000
        names = [hit["document"]["name"] for hit in answer["hits"]]
        return Found(
            ranking=tuple(ids.get(name, name) for name in names),
            scores=tuple(float(hit["score"]) for hit in answer["hits"]),
            latency_ms=latency_ms,
        )

    def _add_all(self, collection_id: str, entries: Sequence[Entry], progress: Progress) -> None:
        for start in range(0, len(entries), FILES_AT_ONCE):
            progress("adding passages", start, len(entries))
            self._add(collection_id, entries[start : start + FILES_AT_ONCE], start)
        progress("adding passages", len(entries), len(entries))

    def _add(self, collection_id: str, entries: Sequence[Entry], start: int) -> None:
        files = [
            (
                "files",
                (file_name(start + at), f"{entry.title}\n\n{entry.text}".strip().encode(), "text/plain"),
            )
            for at, entry in enumerate(entries)
        ]
        path = f"/v1/collections/{collection_id}/documents"
        report = self._ask("POST", path, files=files)
        if report["n_failed"]:
            first = report["failed"][0]
            raise StageFailed("ingest", f"{first['name']} could not be added: {first['message']}")

    def _ask(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        try:
            answer = self._client.request(method, path, **body)
        except httpx.HTTPError as error:
            raise NotRunning(
                f"Raydio does not answer: {error}.", "`raydio status` says how it is."
            ) from error
        if answer.is_success:
            found: dict[str, Any] = answer.json()
            return found
        raise _refused(answer)


def _refused(answer: httpx.Response) -> RaydioError:
    try:
        message = str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = f"Raydio answered {answer.status_code}."
    return (
        InputError(message)
        if answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR
        else StageFailed("api", message)
    )


def file_name(at: int) -> str:
    """The document of the `at`-th entry: ids of a set may hold anything, names of files may not."""
    return f"{at:06d}.txt"


def ask_all(
    door: Door,
    collection_id: str,
    questions: Sequence[Question],
    ids: Mapping[str, str],
    *,
    k: int,
    progress: Progress,
) -> dict[Way, list[Found]]:
    """Every question in every way, one after the other; the first of each way twice, to warm it up."""
    found: dict[Way, list[Found]] = {}
    for way in WAYS:
        door.search(collection_id, questions[0].text, way, k, ids)
        found[way] = []
        for at, question in enumerate(questions):
            progress(way.name, at, len(questions))
            found[way].append(door.search(collection_id, question.text, way, k, ids))
    return found
