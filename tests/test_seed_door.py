"""POST /chat, from a program's side."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from serve_apps.access import USER
from serve_apps.errors import StageBusy
from serve_apps.seed_door import SeedDoor
from serve_apps.wire import Source, SourcesFound, TextDelta, TurnFailed, TurnRequest
from tests.fake_clients import FakeChat, turn_done

FOUND = SourcesFound(
    sources=(Source(id="d:0", title="Atlas, page 3", text="Lisbon lies by the sea.", score=0.91, page=3),),
    query="Where does Lisbon lie?",
)


class Scripted(FakeChat):
    """Plays events."""

    def __init__(self, *events: Any) -> None:
        super().__init__()
        self.events = events

    async def _events(self, request: TurnRequest) -> Any:  # noqa: ARG002
        for event in self.events:
            if isinstance(event, Exception):
                raise event
            yield event


def client(chat: FakeChat, user: str = "ada") -> TestClient:
    app = Starlette(routes=SeedDoor(chat).routes("/chat"))

    async def as_user(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, USER: user}, receive, send)

    return TestClient(as_user)


def test_an_answer_and_its_sources() -> None:
    chat = Scripted(
        FOUND, TextDelta(text="By the "), TextDelta(text="sea [1]."), turn_done(5, notes=("Slow.",))
    )
    answer = client(chat).post("/chat", json={"query": "Where does it lie?"}).json()
    assert answer["response"] == "By the sea [1]."
    assert answer["sources"][0]["text"] == "Lisbon lies by the sea."
    assert (answer["sources"][0]["score"], answer["sources"][0]["page"]) == (0.91, 3)
    assert answer["notes"] == ["Slow."]
    assert answer["searched_for"] == "Where does Lisbon lie?"
    assert answer["usage"]["completion_tokens"] == 5


def test_everything_asked_reaches_the_turn() -> None:
    chat = FakeChat("Yes.")
    body = {
        "query": "And there?",
        "history": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}],
        "mode": "documents_only",
        "collections": ["c1"],
        "method": "bm25",
        "top_k": 2,
        "rerank": False,
        "min_score": 0.1,
        "system_prompt": "Be brief.",
        "max_tokens": 7,
        "temperature": 0,
        "seed": 3,
    }
    assert client(chat).post("/chat", json=body).status_code == 200
    turn: TurnRequest = chat.requests[0]
    assert [m.content for m in turn.messages] == ["Hi", "Hello.", "And there?"]
    assert (turn.user, turn.system_prompt, turn.max_tokens, turn.temperature, turn.seed) == (
        "ada", "Be brief.", 7, 0, 3,
    )  # fmt: skip
    wanted = turn.retrieval
    assert wanted is not None
    assert (wanted.mode, wanted.collections, wanted.method) == ("documents_only", ("c1",), "bm25")
    assert (wanted.n_passages, wanted.rerank, wanted.min_score) == (2, False, 0.1)


def test_a_stream_is_events() -> None:
    chat = Scripted(FOUND, TextDelta(text="By the sea."), turn_done(3))
    with client(chat).stream("POST", "/chat", json={"query": "Where?", "stream": True}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    assert lines[-1] == "[DONE]"
    told = [json.loads(line) for line in lines[:-1]]
    assert [event["type"] for event in told] == ["sources", "delta", "done"]


def test_a_stream_that_fails_says_so_inside() -> None:
    chat = Scripted(TextDelta(text="By"), TurnFailed(stage="llm", code="stage_failed", message="It broke."))
    with client(chat).stream("POST", "/chat", json={"query": "Where?", "stream": True}) as answer:
        told = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: {")]
    assert told[-1] == {"type": "error", "code": "stage_failed", "message": "It broke."}


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (TurnFailed(stage="llm", code="stage_busy", message="Full.", retry_after_s=2.0), 429),
        (TurnFailed(stage="knowledge", code="embedding_mismatch", message="Other model."), 409),
        (StageBusy("chat", "Full.", "Wait.", 2.0), 429),
    ],
)
def test_failures_have_a_status(failure: Any, status: int) -> None:
    answer = client(Scripted(failure)).post("/chat", json={"query": "Where?"})
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert ("retry-after" in answer.headers) == (status == 429)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "The request is wrong: "),
        (b"[1]", "The request is wrong: "),
        (b"{}", "query"),
        (b'{"query": ""}', "query"),
        (b'{"query": "a", "topk": 3}', "topk"),
        (b'{"query": "a", "mode": "maybe"}', "mode"),
        (b'{"query": "a", "top_k": 0}', "top_k"),
        (b'{"query": "a", "history": [{"role": "system", "content": "x"}]}', "history.0.role"),
        ('{"query": "\ud800"}'.encode("utf-8", "surrogatepass"), "The request is wrong: "),
    ],
)
def test_bad_bodies_are_refused_by_name(body: bytes, said: str) -> None:
    answer = client(FakeChat()).post("/chat", content=body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]


def test_a_client_that_leaves_stops_the_turn() -> None:
    chat = FakeChat("word", endless=True, pause_s=0.001)
    with client(chat).stream("POST", "/chat", json={"query": "Where?", "stream": True}) as answer:
        next(answer.iter_lines())
    assert chat.n_closed == 1
