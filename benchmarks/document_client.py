"""Documents over HTTP, as a program of a user's does it: add a folder, search, ask."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import httpx
import orjson

from benchmarks.library import File
from benchmarks.raw_http import Connection, Target
from benchmarks.systems import CannotRun

INGEST_TIMEOUT_S = 1800.0
N_PASSAGES = 4
"""What an answer reads, the product's default."""
_FIRST_TEXT = b'"type":"delta"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """What an ingest took."""

    n_passages: int
    duration_s: float

    @property
    def passages_per_s(self) -> float:
        """From the request to the last acknowledgement."""
        return self.n_passages / self.duration_s


def create(target: Target, name: str) -> str:
    """A new collection's id; one of that name that is there is deleted first."""
    with _client(target) as client:
        for found in client.get("/v1/collections").raise_for_status().json()["data"]:
            if found["name"] == name:
                client.delete(f"/v1/collections/{found['id']}").raise_for_status()
        made = client.post("/v1/collections", json={"name": name}).raise_for_status()
        return str(made.json()["id"])


def delete(target: Target, collection_id: str) -> None:
    """Delete a collection with everything in it."""
    with _client(target) as client:
        client.delete(f"/v1/collections/{collection_id}").raise_for_status()


def ingest(target: Target, collection_id: str, files: Iterable[File]) -> Ingested:
    """Add files in one request.

    Raises:
        CannotRun: one of them could not be added.
    """
    form = [("files", (file.name, file.data)) for file in files]
    started = time.perf_counter()
    with _client(target) as client:
        answer = client.post(f"/v1/collections/{collection_id}/documents", files=form)
    duration_s = time.perf_counter() - started
    report = answer.raise_for_status().json()
    if report["n_failed"]:
        raise CannotRun(f"Not everything could be ingested: {report['failed'][0]}")
    return Ingested(n_passages=report["n_passages"], duration_s=duration_s)


def search_ms(target: Target, collection_id: str, queries: Sequence[str], *, rerank: bool) -> list[float]:
    """Times of searches, one after the other on one connection."""

    def body(query: str) -> bytes:
        asked = {"collections": [collection_id], "query": query, "top_k": N_PASSAGES, "rerank": rerank}
        return orjson.dumps(asked)

    async def run() -> list[float]:
        async with Connection(target) as connection:
            await connection.ask("POST", "/v1/search", body(queries[0]))
            return [await _timed(connection, body(query)) for query in queries]

    async def _timed(connection: Connection, asked: bytes) -> float:
        started = time.perf_counter()
        await connection.ask("POST", "/v1/search", asked)
        return (time.perf_counter() - started) * 1000

    return asyncio.run(run())


def first_text_ms(target: Target, collection_id: str, queries: Sequence[str]) -> list[float]:
    """Times from the question to the first text of an answer from documents."""

    async def one(connection: Connection, query: str) -> float:
        asked = {"query": query, "stream": True, "collections": [collection_id], "max_tokens": 8, "seed": 1}
        started, first, received = time.perf_counter(), 0.0, bytearray()
        await connection.send("POST", "/chat", orjson.dumps(asked))
        await connection.head()
        while not received.endswith(b"0\r\n\r\n"):
            received += await connection.some()
            if not first and _FIRST_TEXT in received:
                first = time.perf_counter()
        if not first or b'"type":"sources","sources":[]' in received:
            raise CannotRun(f"No answer from documents: {bytes(received[:500])!r}")
        return (first - started) * 1000

    async def run() -> list[float]:
        async with Connection(target) as connection:
            return [await one(connection, query) for query in queries]

    return asyncio.run(run())


def _client(target: Target) -> httpx.Client:
    return httpx.Client(
        base_url=target.url, headers=target.headers, timeout=INGEST_TIMEOUT_S, trust_env=False
    )
