"""Clients over real Serve handles: streams, cancel, retry, shedding, errors; and the same through HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from serve_apps.access import token
from serve_apps.clients import ClusterClient, LlmClient, TtsClient
from serve_apps.errors import (
    EmptyInput,
    StageBusy,
    StageFailed,
    StageTimeout,
    StageUnavailable,
)
from serve_apps.wire import ChatRequest, LlmDelta, LlmDone, LlmEvent, Message
from tests.ray_home import RAY_HOME
from tests.serve.conftest import Deploy

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("llm") / "events.log"
    path.touch()
    return path


@pytest.fixture(scope="module")
def url(deploy: Deploy, log: Path) -> str:
    args = {
        "engine": "tests.serve.engines:WatchedLlm",
        "engine_options": {"log": str(log)},
        "n_workers": 2,
        "max_waiting": 6,
        "max_wait_s": 20,
    }
    return deploy(
        {
            "applications": [
                {"name": "llm", "route_prefix": None, "import_path": "serve_apps.llm:app", "args": args},
                {"name": "api", "route_prefix": "/v1", "import_path": "serve_apps.api:app"},
            ]
        }
    )


@pytest_asyncio.fixture(loop_scope="module")
async def http(url: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {token()}"}
    async with httpx.AsyncClient(base_url=url, timeout=60, headers=headers) as client:
        yield client


@pytest.fixture(autouse=True)
def same_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """The replicas' home, not a fresh one: their token is the one to present."""
    from serve_apps.settings import settings  # noqa: PLC0415

    monkeypatch.setenv("RAYDIO_HOME", str(RAY_HOME))
    settings.cache_clear()


def ask(text: str, **options: Any) -> ChatRequest:
    return ChatRequest(messages=(Message(role="user", content=text),), **options)


async def answered(request: ChatRequest) -> list[LlmEvent]:
    async with aclosing(LlmClient().stream_chat(request)) as events:
        return [event async for event in events]


async def seen(log: Path, condition: Callable[[str], bool]) -> bool:
    """Whether the log comes to fulfil a condition within ten seconds."""
    for _ in range(200):
        if condition(log.read_text()):
            return True
        await asyncio.sleep(0.05)
    return False


@pytest.mark.usefixtures("url")
async def test_a_stream_arrives_whole() -> None:
    events = await answered(ask("hello", max_tokens=10))
    text = "".join(e.text for e in events if isinstance(e, LlmDelta))
    assert text.split() == [f"w{n}" for n in range(10)]
    assert isinstance(events[-1], LlmDone)
    assert events[0] == LlmDelta(text="w0 ", n_tokens=1)


@pytest.mark.usefixtures("url")
async def test_closing_a_stream_stops_the_model(log: Path) -> None:
    before = log.read_text().count("stopped")
    async with aclosing(LlmClient().stream_chat(ask("hello"))) as events:
        await anext(events)
    assert await seen(log, lambda text: text.count("stopped") == before + 1)


@pytest.mark.usefixtures("url")
async def test_cancelling_the_caller_stops_the_model(log: Path) -> None:
    before = log.read_text()
    caller = asyncio.create_task(answered(ask("hello")))
    assert await seen(log, lambda text: text.count("started") > before.count("started"))
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert await seen(log, lambda text: text.count("stopped") > before.count("stopped"))


@pytest.mark.parametrize("stream", [True, False])
async def test_dropping_the_connection_stops_the_model(
    http: httpx.AsyncClient, log: Path, *, stream: bool
) -> None:
    before = log.read_text()
    body = {"messages": [{"role": "user", "content": "hello"}], "stream": stream}
    call = asyncio.create_task(http.post("/v1/chat/completions", json=body))
    assert await seen(log, lambda text: text.count("started") > before.count("started"))
    call.cancel()
    assert await seen(log, lambda text: text.count("stopped") > before.count("stopped"))


async def test_leaving_is_noticed_when_the_body_came_after_its_head(url: str, log: Path) -> None:
    """A proxy that splices such a body stops reading the client, and would not see it go."""
    before = log.read_text()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    body = b'{"messages": [{"role": "user", "content": "hello"}]}'
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        b"content-type: application/json\r\nexpect: 100-continue\r\n"
        + f"authorization: Bearer {token()}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    )
    assert b"100" in await reader.readline()  # the head has arrived; now the body
    writer.write(body)
    assert await seen(log, lambda text: text.count("started") > before.count("started"))
    writer.close()
    await writer.wait_closed()
    assert await seen(log, lambda text: text.count("stopped") > before.count("stopped"))


@pytest.mark.usefixtures("url")
async def test_errors_keep_their_type() -> None:
    with pytest.raises(EmptyInput):
        await answered(ask(""))
    with pytest.raises(StageFailed, match="asked to break"):
        await answered(ask("break"))
    with pytest.raises(StageFailed, match="llm stage failed"):
        await answered(ask("crash"))


@pytest.mark.usefixtures("url")
async def test_a_stage_that_is_not_deployed_is_unavailable() -> None:
    with pytest.raises(StageUnavailable, match="not deployed"):
        await TtsClient().voices()


@pytest.mark.usefixtures("url")
async def test_a_silent_stage_times_out() -> None:
    with pytest.raises(StageTimeout):
        await anext(LlmClient(timeout_s=0.5).stream_chat(ask("think")))


async def test_overload_is_shed_and_nobody_hangs(http: httpx.AsyncClient) -> None:
    body = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 10}
    answers = await asyncio.gather(*(http.post("/v1/chat/completions", json=body) for _ in range(50)))
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= 8
    shed = next(answer for answer in answers if answer.status_code == 429)
    assert int(shed.headers["retry-after"]) >= 1
    assert shed.json()["error"]["code"] == "stage_busy"


@pytest.mark.usefixtures("url")
async def test_shedding_is_an_error_of_its_own() -> None:
    results = await asyncio.gather(
        *(answered(ask("hello", max_tokens=10, caller=str(n))) for n in range(20)), return_exceptions=True
    )
    busy = [r for r in results if isinstance(r, StageBusy)]
    assert busy
    assert all(error.retry_after_s for error in busy)
    assert len(busy) + sum(isinstance(r, list) for r in results) == 20


@pytest.mark.usefixtures("url")
async def test_a_replica_that_dies_before_the_first_token_costs_a_retry() -> None:
    events = await answered(ask("die", max_tokens=3))
    assert isinstance(events[-1], LlmDone)


async def test_a_replica_that_dies_in_mid_answer_is_a_clear_error_and_comes_back(
    http: httpx.AsyncClient,
) -> None:
    with pytest.raises(StageUnavailable) as interrupted:
        await answered(ask("die late"))
    assert interrupted.value.retry_after_s
    body = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}
    assert (await http.post("/v1/chat/completions", json=body)).status_code == 200


@pytest.mark.usefixtures("url")
async def test_the_cluster_says_what_runs() -> None:
    applications = await ClusterClient().applications()
    assert [(a.name, a.status) for a in applications] == [("api", "healthy"), ("llm", "healthy")]


@pytest.mark.parametrize("path", ["/", "/stream_chat", "/describe"])
async def test_a_stage_has_no_door_of_its_own(url: str, path: str) -> None:
    """Every Serve application listens on a port of its own; there a stage must answer nobody."""
    host = url.rpartition(":")[0]
    async with httpx.AsyncClient() as client:
        for port in range(30000, 30004):
            try:
                answer = await client.post(f"{host}:{port}{path}", json={})
            except httpx.TransportError:
                continue
            assert answer.status_code >= 400, answer.text
