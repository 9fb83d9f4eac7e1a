"""The door in front of a small app: who gets in, what is refused, what every answer carries."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket

from serve_apps.access import Credential
from serve_apps.door import Door

TOKEN = "t0ken-of-this-installation"
BEARER = {"authorization": f"Bearer {TOKEN}"}
PAGE = {"accept": "text/html,application/xhtml+xml"}


async def echo(request: Request) -> JSONResponse:
    body = await request.body()
    return JSONResponse({"n_bytes": len(body), "path": request.url.path, "url": str(request.url)})


async def file(_: Request) -> PlainTextResponse:
    return PlainTextResponse("a file")


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("hello")
    await websocket.close()


def behind_door(**options: object) -> Door:
    app = Starlette(
        routes=[
            Route("/gradio_api/{rest:path}", file),
            WebSocketRoute("/ws", socket),
            Route("/{rest:path}", echo, methods=["GET", "POST"]),
        ]
    )
    origins = options.get("allowed_origins", ())
    app.add_middleware(CORSMiddleware, allow_origins=origins, allow_headers=["*"], allow_methods=["*"])
    return Door(app, credential=Credential(TOKEN), **{"max_body_bytes": 2 << 20, **options})


@pytest.fixture
def client() -> TestClient:
    return TestClient(behind_door(), base_url="http://raydio.test", follow_redirects=False)


@pytest.mark.parametrize("path", ["/", "/ui/", "/ui/chat/config", "/v1/models", "/gradio_api/info"])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT", "DELETE"])
def test_every_route_asks_for_the_credential(client: TestClient, path: str, method: str) -> None:
    assert client.request(method, path).status_code == 401
    assert client.request(method, path, headers={"authorization": "Bearer wrong"}).status_code == 401
    assert client.request(method, path, headers=BEARER).status_code in (200, 405)


def test_health_is_open(client: TestClient) -> None:
    assert client.get("/healthz").text == "ok"
    assert client.get("/ui/chat/healthz").text == "ok"
    assert client.get("/manifest.json").json()["name"] == "Raydio"


def test_a_refusal_says_what_to_do_and_leaks_nothing(client: TestClient) -> None:
    body = client.get("/v1/models").json()
    assert body["error"]["code"] == "invalid_api_key"
    assert "raydio token" in body["error"]["message"]
    assert TOKEN not in client.get("/ui/", headers=PAGE).text


def test_the_url_with_the_token_becomes_a_cookie(client: TestClient) -> None:
    answer = client.get(f"/ui/chat/?token={TOKEN}&theme=dark", headers=PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/chat/?theme=dark")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert TOKEN not in cookie
    assert client.get("/ui/chat/").status_code == 200


def test_cookies_of_other_programs_on_this_host_do_no_harm(client: TestClient) -> None:
    """Cookies are shared by all ports; some have names that Python's own parser stops at."""
    ours = f"{Credential(TOKEN).cookie_name}={Credential(TOKEN).cookie_value}"
    assert client.get("/ui/", headers={"cookie": f'other[app]=1; bad"name; {ours}'}).status_code == 200


def test_redirects_stay_on_this_host(client: TestClient) -> None:
    answer = client.get(f"http://raydio.test//evil.example/?token={TOKEN}", headers=PAGE)
    assert answer.headers["location"].startswith("/evil.example")


def test_a_browser_without_the_cookie_gets_a_login_page(client: TestClient) -> None:
    answer = client.get("/ui/tts/", headers=PAGE)
    assert answer.status_code == 401
    assert 'name="token"' in answer.text
    wrong = client.post("/ui/tts/", data={"token": "guess"}, headers=PAGE)
    assert wrong.status_code == 401
    assert "not the token" in wrong.text
    right = client.post("/ui/tts/", data={"token": f" {TOKEN} "}, headers=PAGE)
    assert (right.status_code, right.headers["location"]) == (303, "/ui/tts/")
    assert client.get("/ui/tts/").status_code == 200


def test_guessing_is_answered_with_429_and_locks_nobody_out(client: TestClient) -> None:
    statuses = [
        client.get("/v1/models", headers={"authorization": f"Bearer guess-{n}"}).status_code
        for n in range(40)
    ]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    assert client.get("/v1/models", headers=BEARER).status_code == 200


def test_websockets_need_credential_and_origin(client: TestClient) -> None:
    evil = {**BEARER, "origin": "https://evil.example"}
    for headers, status in (({}, 401), ({"authorization": "Bearer wrong"}, 401), (evil, 403)):
        with (
            pytest.raises(WebSocketDenialResponse) as caught,
            client.websocket_connect("/ws", headers=headers),
        ):
            pass
        assert caught.value.status_code == status
    with client.websocket_connect("/ws", headers={**BEARER, "origin": "http://testserver"}) as ws:
        assert ws.receive_text() == "hello"


def test_scripts_in_browsers_show_the_token_as_a_sub_protocol(client: TestClient) -> None:
    offered = ["realtime", f"openai-insecure-api-key.{TOKEN}"]
    with client.websocket_connect("/ws", subprotocols=offered) as ws:
        assert ws.receive_text() == "hello"
    for wrong in (["openai-insecure-api-key."], [f"x-openai-insecure-api-key.{TOKEN}"], [TOKEN]):
        with pytest.raises(WebSocketDenialResponse), client.websocket_connect("/ws", subprotocols=wrong):
            pass


def test_other_sites_cannot_use_the_cookie(client: TestClient) -> None:
    client.cookies.set(Credential(TOKEN).cookie_name, Credential(TOKEN).cookie_value)
    evil = {"origin": "https://evil.example"}
    assert client.post("/v1/chat", headers=evil).status_code == 403
    assert client.post("/v1/chat", headers={"origin": "http://raydio.test"}).status_code == 200
    assert "access-control-allow-origin" not in client.get("/v1/models", headers=evil).headers


def test_an_allowed_origin_gets_cors() -> None:
    client = TestClient(behind_door(allowed_origins=("https://friend.example",)))
    friend = {"origin": "https://friend.example"}
    preflight = client.options("/v1/x", headers={**friend, "access-control-request-method": "POST"})
    assert preflight.headers["access-control-allow-origin"] == "https://friend.example"
    answer = client.get("/v1/models", headers={**friend, **BEARER})
    assert answer.headers["access-control-allow-origin"] == "https://friend.example"
    stranger = client.options(
        "/v1/x", headers={"origin": "https://evil.example", "access-control-request-method": "POST"}
    )
    assert "access-control-allow-origin" not in stranger.headers


@pytest.mark.parametrize("path", ["/healthz", "/ui/", "/v1/models"])
def test_every_answer_carries_the_safe_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'self'" in policy
    assert "http:" not in policy
    assert "*" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert "microphone=(self)" in headers["permissions-policy"]


def encoded(text: str, times: int) -> str:
    for _ in range(times):
        text = quote(text, safe="")
    return text


@pytest.mark.parametrize(
    "target",
    ["http://1.1.1.1/x", "HTTPS://evil.example", "//evil.example", "ftp://e.example", "%20http://e.example"],
)
@pytest.mark.parametrize("times", [0, 1, 2, 3])
@pytest.mark.parametrize("prefix", ["/gradio_api/file=", "/ui/chat/gradio_api/file=", "/gradio_api/file/"])
def test_remote_files_are_not_fetched(client: TestClient, prefix: str, times: int, target: str) -> None:
    assert client.get(prefix + encoded(target, times), headers=BEARER).status_code == 403


def test_the_file_route_itself_may_be_encoded(client: TestClient) -> None:
    assert (
        client.get("/gradio_api/" + quote("file=http://e.example", safe=""), headers=BEARER).status_code
        == 403
    )
    assert client.get("/gradio_api/proxy=http://e.example", headers=BEARER).status_code == 403


@pytest.mark.parametrize(
    "path", ["/gradio_api/file=/tmp/gradio/a/clip.wav", "/gradio_api/file=/tmp/http-notes.txt"]
)
def test_local_files_pass(client: TestClient, path: str) -> None:
    assert client.get(path, headers=BEARER).status_code == 200


def test_large_bodies_are_refused_as_announced(client: TestClient) -> None:
    assert client.post("/v1/x", headers=BEARER, content=b"x" * (1 << 20)).json()["n_bytes"] == 1 << 20
    answer = client.post("/v1/x", headers=BEARER, content=b"x" * (3 << 20))
    assert answer.status_code == 413
    assert "2 MiB" in answer.json()["error"]["message"]


async def test_large_bodies_are_refused_as_they_arrive() -> None:
    sent = 0

    async def endless() -> object:
        nonlocal sent
        while sent < 64 << 20:
            sent += 1 << 20
            yield b"x" * (1 << 20)
            await asyncio.sleep(0)

    transport = httpx.ASGITransport(behind_door())
    async with httpx.AsyncClient(transport=transport, base_url="http://raydio.test") as client:
        answer = await client.post("/v1/x", headers=BEARER, content=endless())
    assert answer.status_code == 413


def test_forwarding_headers_of_callers_are_dropped(client: TestClient) -> None:
    forged = {**BEARER, "x-forwarded-host": "evil.example", "x-forwarded-proto": "https"}
    assert "evil.example" not in client.get("/page", headers=forged).json()["url"]
