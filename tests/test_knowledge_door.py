"""The REST door of documents over a real knowledge stage: collections, ingest, search, users."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_apps import document_file
from serve_apps.access import USER
from serve_apps.args import IngestArgs
from serve_apps.contracts import Clients
from serve_apps.errors import StageBusy
from serve_apps.ingest import IngestConductor
from serve_apps.knowledge_door import KnowledgeDoor
from serve_apps.settings import settings
from tests.fake_clients import FakeEmbeddings, fake_clients
from tests.knowledge import made_knowledge

FOX = b"# Foxes\n\nThe quick brown fox jumps over the lazy dog.\n"
OWL = b"Owls sleep by day and hunt by night, without a sound.\n"


class Named:
    """The door in front, as far as these tests need it: takes the user from a header."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        names = dict(scope.get("headers", ()))
        await self._app({**scope, USER: names.get(b"x-user", b"owner").decode()}, receive, send)


@pytest.fixture
async def clients(tmp_path: Path) -> AsyncIterator[Clients]:
    knowledge = made_knowledge(tmp_path)
    clients = fake_clients(knowledge=knowledge)
    ingest = IngestConductor(clients.stt, clients.embeddings, knowledge, IngestArgs())
    yield replace(clients, ingest=ingest)
    knowledge.close()


@pytest.fixture
async def http(clients: Clients) -> AsyncIterator[httpx.AsyncClient]:
    async with connected(clients) as client:
        yield client


def app(clients: Clients) -> ASGIApp:
    return Named(Starlette(routes=KnowledgeDoor(clients).routes("/v1")))


def connected(clients: Clients) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app(clients))
    return httpx.AsyncClient(transport=transport, base_url="http://raydio/v1/", timeout=30)


async def documents_of(http: httpx.AsyncClient) -> str:
    (collection,) = (await http.get("collections")).json()["data"]
    assert collection["name"] == "Documents"
    return str(collection["id"])


async def added(http: httpx.AsyncClient, files: dict[str, bytes], **data: Any) -> dict[str, Any]:
    collection = await documents_of(http)
    parts = [("files", (name, content)) for name, content in files.items()]
    answer = await http.post(f"collections/{collection}/documents", files=parts, data=data)
    assert answer.status_code == 200, answer.text
    report: dict[str, Any] = answer.json()
    return report


def spooled() -> list[Path]:
    return [p for p in (settings().home_dir / "spool").rglob("*") if p.is_file() and p.name != ".lock"]


# ---- collections -------------------------------------------------------------------------------


async def test_collections_are_made_changed_and_deleted(http: httpx.AsyncClient) -> None:
    made = await http.post("collections", json={"name": " Law "})
    assert (made.status_code, made.json()["name"], made.json()["readonly"]) == (201, "Law", False)
    place = f"collections/{made.json()['id']}"
    changed = await http.patch(place, json={"name": "Statutes", "shared": True})
    assert (changed.json()["name"], changed.json()["shared"]) == ("Statutes", True)
    deleted = await http.delete(place)
    assert deleted.json() == {"deleted": True, "n_documents": 0, "n_passages": 0, "n_remaining": 0}
    assert (await http.patch(place, json={"name": "X"})).status_code == 404


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b'{"name": ""}', "name"),
        (b'{"name": "a", "colour": "red"}', "colour"),
        (b'{"name": 3}', "name"),
        (b"{", "JSON"),
        (b"[]", "request"),
    ],
)
async def test_wrong_bodies_are_told_what_is_wrong(
    http: httpx.AsyncClient, content: bytes, named: str
) -> None:
    answer = await http.post("collections", content=content)
    assert answer.status_code == 400
    assert named in answer.json()["error"]["message"]


# ---- adding ------------------------------------------------------------------------------------


async def test_files_are_added_listed_tagged_and_deleted(http: httpx.AsyncClient) -> None:
    report = await added(http, {"fox.md": FOX, "birds/owl.txt": OWL}, tags=["animals", "animals", ""])
    assert (report["n_added"], report["n_failed"], len(report["added"])) == (2, 0, 2)
    listed = (await http.get(f"collections/{await documents_of(http)}/documents")).json()["data"]
    assert [document["name"] for document in listed] == ["birds/owl.txt", "fox.md"]
    assert listed[0]["tags"] == ["animals"]
    place = f"documents/{listed[0]['id']}"
    assert (await http.patch(place, json={"tags": ["birds"]})).json()["tags"] == ["birds"]
    assert (await http.get(place)).json()["tags"] == ["birds"]
    assert (await http.get(f"{place}/vectors/count")).json() == {"n_vectors": 1}
    deleted = (await http.delete(place)).json()
    assert deleted == {"deleted": True, "n_documents": 1, "n_passages": 1, "n_remaining": 0, "n_vectors": 1}
    assert (await http.get(place)).status_code == 404
    assert spooled() == []


async def test_the_original_comes_back_as_a_download_only(http: httpx.AsyncClient) -> None:
    page = b"<html><body><p>Hello there, reader.</p><script>alert(1)</script></body></html>"
    report = await added(http, {"page.html": page})
    answer = await http.get(f"documents/{report['added'][0]['document']['id']}/original")
    assert answer.content == page
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("asked", "status", "bounds"),
    [
        ("bytes=0-", 206, (0, 10_000)),
        ("bytes=9990-", 206, (9_990, 10_000)),
        ("bytes=95-304", 206, (95, 305)),
        ("bytes=300-99999999", 206, (300, 10_000)),
        ("bytes=-7", 206, (9_993, 10_000)),
        ("bytes=10000-", 416, (0, 0)),
        ("bytes=5-4", 416, (0, 0)),
        ("bytes=-0", 416, (0, 0)),
        ("bytes=-", 200, (0, 10_000)),
        ("bytes=0-1,5-6", 200, (0, 10_000)),
        ("lines=1-2", 200, (0, 10_000)),
        (f"bytes={'9' * 5000}-", 200, (0, 10_000)),
    ],
)
async def test_a_part_of_the_original(
    http: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    asked: str,
    status: int,
    bounds: tuple[int, int],
) -> None:
    start, stop = bounds
    monkeypatch.setattr(document_file, "PIECE_BYTES", 100)
    text = "".join(f"{n:09d} " for n in range(1_000)).encode()
    report = await added(http, {"numbers.txt": text})
    place = f"documents/{report['added'][0]['document']['id']}/original"
    answer = await http.get(place, headers={"range": asked})
    assert (answer.status_code, answer.content) == (status, text[start:stop])
    told = {206: f"bytes {start}-{stop - 1}/10000", 416: "bytes */10000", 200: None}
    assert answer.headers.get("content-range") == told[status]
    assert answer.headers["content-length"] == str(stop - start)


async def test_a_part_of_another_file_than_before_is_the_whole(http: httpx.AsyncClient) -> None:
    report = await added(http, {"fox.md": FOX})
    place = f"documents/{report['added'][0]['document']['id']}/original"
    tag = (await http.get(place)).headers["etag"]
    statuses = {
        given: (await http.get(place, headers={"range": "bytes=1-2", "if-range": given})).status_code
        for given in (tag, '"another"')
    }
    assert statuses == {tag: 206, '"another"': 200}


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
async def test_events_stream_as_sse_or_lines(http: httpx.AsyncClient, accept: str) -> None:
    place = f"collections/{await documents_of(http)}/documents"
    answer = await http.post(place, files={"files": ("fox.md", FOX)}, headers={"accept": accept})
    assert answer.headers["content-type"].startswith(accept)
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    events = [json.loads(line) for line in lines]
    assert [event["type"] for event in events if event["type"] != "file_progress"] == [
        "file_added",
        "ingest_done",
    ]
    assert events[-1]["n_added"] == 1


async def test_failures_are_in_the_report(http: httpx.AsyncClient) -> None:
    report = await added(http, {"empty.txt": b"", "fox.md": FOX})
    assert (report["n_added"], report["n_failed"]) == (1, 1)
    assert report["failed"][0]["name"] == "empty.txt"
    assert report["failed"][0]["code"]


async def test_urls_come_as_json_or_in_the_form(http: httpx.AsyncClient) -> None:
    place = f"collections/{await documents_of(http)}/documents"
    for given in (
        {"json": {"urls": ["http://127.0.0.1/"]}},
        {"files": {"urls": (None, "http://127.0.0.1/")}},
    ):
        report = (await http.post(place, **given)).json()  # type: ignore[arg-type]
        assert [(failed["name"], failed["code"]) for failed in report["failed"]] == [
            ("http://127.0.0.1/", "address_refused")
        ]


@pytest.mark.parametrize(
    "given",
    [
        {"json": {"urls": []}},
        {"json": {"urls": ["http://a.example/"], "colour": "red"}},
        {"content": b"not a form", "headers": {"content-type": "multipart/form-data; boundary=x"}},
        {"content": b"", "headers": {"content-type": "multipart/form-data"}},
        {"files": {"colour": ("fox.md", FOX)}},
        {"files": {"tags": (None, "only tags")}},
        {"content": b""},
    ],
)
async def test_wrong_uploads_are_told_what_is_wrong(http: httpx.AsyncClient, given: dict[str, Any]) -> None:
    answer = await http.post(f"collections/{await documents_of(http)}/documents", **given)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]
    assert spooled() == []


async def test_a_collection_is_indexed_again(http: httpx.AsyncClient) -> None:
    await added(http, {"fox.md": FOX})
    answer = await http.post(f"collections/{await documents_of(http)}/reindex")
    assert (answer.status_code, answer.json()["n_passages"]) == (200, 1)


class Gate(FakeEmbeddings):
    """Holds batches back until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.waits = asyncio.Event()

    async def embed(self, texts: Any) -> Any:
        if "dimensions" not in texts[0]:
            self.waits.set()
            await self.open.wait()
        return await super().embed(texts)


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_a_client_that_leaves_cancels(clients: Clients, accept: str) -> None:
    gate = Gate()
    ingest = IngestConductor(clients.stt, gate, clients.knowledge, IngestArgs())
    door = app(replace(clients, ingest=ingest))
    (collection,) = await clients.knowledge.collections("owner")
    body = httpx.Request("POST", "http://raydio", files={"files": ("fox.md", FOX)})
    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/v1/collections/{collection.id}/documents",
        "query_string": b"",
        "headers": [(k.lower(), v) for k, v in body.headers.raw] + [(b"accept", accept.encode())],
    }
    sent = iter([{"type": "http.request", "body": body.read(), "more_body": False}])

    async def receive() -> Any:
        if (message := next(sent, None)) is not None:
            return message
        await gate.waits.wait()
        return {"type": "http.disconnect"}

    async def send(_message: Any) -> None:
        pass

    await door(scope, receive, send)
    assert await clients.knowledge.documents("owner", collection.id) == []
    assert spooled() == []


async def test_a_busy_ingest_says_when_to_come_back(clients: Clients) -> None:
    class Busy:
        async def stream_ingest(self, _request: Any) -> AsyncIterator[Any]:
            raise StageBusy("ingest", "Too many wait.", "Try again.", 3.0)
            yield

    async with connected(replace(clients, ingest=Busy())) as http:  # type: ignore[arg-type]
        place = f"collections/{await documents_of(http)}/documents"
        for accept in ("text/event-stream", "application/json"):
            answer = await http.post(place, files={"files": ("a.md", FOX)}, headers={"accept": accept})
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
    assert spooled() == []


# ---- search ------------------------------------------------------------------------------------


async def test_search_gives_hits_with_all_their_scores(http: httpx.AsyncClient) -> None:
    await added(http, {"fox.md": FOX, "owl.txt": OWL})
    found = (await http.post("search", json={"query": "hunt by night", "top_k": 1})).json()
    (hit,) = found["hits"]
    assert hit["document"]["name"] == "owl.txt"
    assert hit["passage"]["text"].startswith("Owls")
    assert hit["reranked"] is True
    assert {"score", "search_score", "cosine", "bm25", "dense_rank", "bm25_rank"} <= set(hit)
    assert hit["url"].startswith(f"v1/documents/{hit['document']['id']}/pages/1?start=0&end=")
    assert {"embed_ms", "search_ms", "rerank_ms", "total_ms"} <= set(found["timings"])
    assert found["notes"] == []


@pytest.mark.parametrize("method", ["hybrid", "dense", "bm25"])
async def test_search_by_each_method_with_filters(http: httpx.AsyncClient, method: str) -> None:
    await added(http, {"fox.md": FOX})
    await added(http, {"owl.txt": OWL}, tags=["birds"])
    asked = {"query": "the lazy dog by night", "method": method, "rerank": False}
    for filters, names in (
        ({"tags": ["birds"]}, {"owl.txt"}),
        ({"kinds": ["markdown"]}, {"fox.md"}),
        ({"names": ['" or 1==1 --']}, set()),
        ({"added_before_s": 1.0}, set()),
    ):
        found = (await http.post("search", json={**asked, "filters": filters})).json()
        assert {hit["document"]["name"] for hit in found["hits"]} == names


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"query": ""}, 400),
        ({}, 400),
        ({"query": "x", "top_k": 0}, 400),
        ({"query": "x", "method": "magic"}, 400),
        ({"query": "x", "filters": {"colour": "red"}}, 400),
        ({"query": "x" * 20_000}, 400),
        ({"query": "x", "collections": ["0" * 32]}, 404),
    ],
)
async def test_wrong_searches_are_told_what_is_wrong(
    http: httpx.AsyncClient, body: dict[str, Any], status: int
) -> None:
    answer = await http.post("search", json=body)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


# ---- users -------------------------------------------------------------------------------------


async def test_another_user_sees_nothing_and_changes_nothing(http: httpx.AsyncClient) -> None:
    report = await added(http, {"fox.md": FOX})
    collection = await documents_of(http)
    document = f"documents/{report['added'][0]['document']['id']}"
    other = {"x-user": "mallory"}
    place = f"collections/{collection}"
    calls = [
        ("GET", f"{place}/documents", {}),
        ("PATCH", place, {"json": {"name": "Mine"}}),
        ("DELETE", place, {}),
        ("POST", f"{place}/documents", {"files": {"files": ("x.md", OWL)}}),
        ("POST", f"{place}/reindex", {}),
        ("GET", document, {}),
        ("PATCH", document, {"json": {"tags": []}}),
        ("DELETE", document, {}),
        ("GET", f"{document}/original", {}),
        ("GET", f"{document}/vectors/count", {}),
        ("POST", "search", {"json": {"query": "fox", "collections": [collection]}}),
    ]
    for method, path, given in calls:
        answer = await http.request(method, path, headers=other, **given)  # type: ignore[arg-type]
        assert answer.status_code == 404, (method, path, answer.text)
    found = (await http.post("search", json={"query": "fox"}, headers=other)).json()
    assert found["hits"] == []
    assert (await http.get(document)).status_code == 200


async def test_a_shared_collection_is_read_by_all_and_changed_by_its_owner(http: httpx.AsyncClient) -> None:
    await added(http, {"fox.md": FOX})
    collection, other = await documents_of(http), {"x-user": "bob"}
    await http.patch(f"collections/{collection}", json={"shared": True})
    seen = (await http.get("collections", headers=other)).json()["data"]
    assert {one["id"]: one["readonly"] for one in seen}[collection] is True
    assert (await http.post("search", json={"query": "fox"}, headers=other)).json()["hits"]
    refused = await http.post(
        f"collections/{collection}/documents", files={"files": ("x.md", OWL)}, headers=other
    )
    assert refused.status_code == 403
