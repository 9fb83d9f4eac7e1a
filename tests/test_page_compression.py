from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from serve_apps.page_compression import MIN_BYTES, PageCompression

TEXT = "A page of many words. " * MIN_BYTES


@pytest.fixture
def client() -> TestClient:
    async def answer(request: Request) -> HTMLResponse:
        return HTMLResponse(request.query_params.get("text", TEXT))

    return TestClient(
        PageCompression(Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])]))
    )


@pytest.mark.parametrize("path", ["/", "/ui/", "/ui/chat/", "/chat/", "/ui/chat/config"])
def test_pages_are_compressed(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.headers["content-encoding"] == "gzip"
    assert "accept-encoding" in answer.headers["vary"].lower()
    assert int(answer.headers["content-length"]) < len(TEXT) / 10
    assert answer.text == TEXT


@pytest.mark.parametrize(
    "path", ["/v1/models", "/ui/chat/gradio_api/queue/data", "/ui/chat/gradio_api/file=/tmp/a/"]
)
def test_nothing_else_is(client: TestClient, path: str) -> None:
    assert "content-encoding" not in client.get(path).headers
    assert "content-encoding" not in client.post("/ui/chat/").headers


def test_a_browser_that_takes_no_coding_gets_none(client: TestClient) -> None:
    assert "content-encoding" not in client.get("/ui/", headers={"accept-encoding": "identity"}).headers


def test_a_short_page_stays_as_it_is(client: TestClient) -> None:
    assert "content-encoding" not in client.get("/ui/?text=short").headers
