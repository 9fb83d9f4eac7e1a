from __future__ import annotations

from collections import Counter

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from serve_apps.asset_cache import AssetCache


@pytest.fixture
def asked() -> Counter[str]:
    return Counter()


@pytest.fixture
def client(asked: Counter[str]) -> TestClient:
    async def answer(request: Request) -> PlainTextResponse:
        path = request.url.path
        asked[path] += 1
        return PlainTextResponse(
            f"{path} for {request.headers.get('accept-encoding')}", 404 if "gone" in path else 200
        )

    app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])
    return TestClient(AssetCache(app))


def test_a_file_is_read_once_for_all_pages(client: TestClient, asked: Counter[str]) -> None:
    first = client.get("/ui/chat/assets/index-B3f.js")
    again = client.get("/ui/tts/assets/index-B3f.js")
    assert first.text == again.text
    assert sum(asked.values()) == 1
    assert "immutable" in again.headers["cache-control"]


def test_codings_are_kept_apart(client: TestClient) -> None:
    plain = client.get("/assets/a.js", headers={"accept-encoding": "identity"})
    brotli = client.get("/assets/a.js", headers={"accept-encoding": "br"})
    assert plain.text != brotli.text


def test_the_same_codings_in_other_words_are_one(client: TestClient, asked: Counter[str]) -> None:
    for taken in ("gzip, deflate, br, zstd", "br;q=1.0, zstd, gzip"):
        client.get("/assets/a.js", headers={"accept-encoding": taken})
    assert sum(asked.values()) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/ui/chat/config",
        "/ui/chat/gradio_api/file=/tmp/assets",
        "/ui/chat/gradio_api/file=/srv/assets/1f0c/speech.wav",
        "/ui/chat/gradio_api/file/srv/static/1f0c/speech.wav",
        "/assets/gone.js",
        "/assets/../config",
    ],
)
def test_everything_else_is_asked_each_time(client: TestClient, asked: Counter[str], path: str) -> None:
    client.get(path)
    client.get(path)
    assert sum(asked.values()) == 2


def test_only_plain_gets_are_answered_from_memory(client: TestClient, asked: Counter[str]) -> None:
    client.get("/assets/a.js")
    client.post("/assets/a.js")
    client.get("/assets/a.js", headers={"range": "bytes=0-3"})
    assert sum(asked.values()) == 3
