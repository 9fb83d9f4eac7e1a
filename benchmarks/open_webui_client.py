"""Open WebUI over its own API: a knowledge base of files, searches, answers from it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Sequence

import httpx
import orjson

from benchmarks.document_client import N_PASSAGES
from benchmarks.library import File
from benchmarks.raw_http import Connection, Target
from benchmarks.systems import CannotRun

TIMEOUT_S = 1800.0
_FIRST_TEXT = re.compile(rb'"content": ?"[^"]')
_SOURCES = re.compile(rb'"sources": ?\[\{')


def fill(target: Target, files: Iterable[File]) -> tuple[str, float]:
    """A knowledge base of these files: its id, and the seconds it took."""
    started = time.perf_counter()
    with httpx.Client(base_url=target.url, headers=target.headers, timeout=TIMEOUT_S) as client:
        wanted = {"name": "Library", "description": "Reports"}
        made = client.post("/api/v1/knowledge/create", json=wanted).raise_for_status().json()["id"]
        added = [{"file_id": _upload(client, file)} for file in files]
        client.post(f"/api/v1/knowledge/{made}/files/batch/add", json=added).raise_for_status()
    return str(made), time.perf_counter() - started


def _upload(client: httpx.Client, file: File) -> str:
    how = {"process": "true", "process_in_background": "false"}
    answer = client.post("/api/v1/files/", params=how, files={"file": (file.name, file.data)})
    return str(answer.raise_for_status().json()["id"])


def search_ms(target: Target, knowledge_id: str, queries: Sequence[str]) -> list[float]:
    """Times of searches, one after the other on one connection."""

    async def one(connection: Connection, query: str) -> float:
        asked = {"collection_names": [knowledge_id], "query": query, "k": N_PASSAGES}
        started = time.perf_counter()
        found = await connection.ask("POST", "/api/v1/retrieval/query/collection", orjson.dumps(asked))
        took_ms = (time.perf_counter() - started) * 1000
        if not orjson.loads(found)["documents"]:
            raise CannotRun("Open WebUI found nothing.")
        return took_ms

    async def run() -> list[float]:
        async with Connection(target) as connection:
            return [await one(connection, query) for query in queries]

    return asyncio.run(run())


def first_text_ms(target: Target, knowledge_id: str, queries: Sequence[str]) -> list[float]:
    """Times from the question to the first text of an answer from documents."""

    async def one(connection: Connection, query: str) -> float:
        asked = {
            "model": target.model,
            "stream": True,
            "max_tokens": 8,
            "messages": [{"role": "user", "content": query}],
            "files": [{"type": "collection", "id": knowledge_id, "name": "Library"}],
        }
        started, first, received = time.perf_counter(), 0.0, bytearray()
        await connection.send("POST", "/api/chat/completions", orjson.dumps(asked))
        await connection.head()
        while not received.endswith(b"0\r\n\r\n"):
            received += await connection.some()
            if not first and _FIRST_TEXT.search(received):
                first = time.perf_counter()
        if not first or not _SOURCES.search(received):
            raise CannotRun(f"No answer from documents: {bytes(received[:500])!r}")
        return (first - started) * 1000

    async def run() -> list[float]:
        async with Connection(target) as connection:
            return [await one(connection, query) for query in queries]

    return asyncio.run(run())
