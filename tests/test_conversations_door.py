"""The door to stored conversations, with users behind a proxy's header, over SQLite and a fake chat."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from serve_apps.access import Credential
from serve_apps.conversations_door import ConversationsDoor
from serve_apps.door import Door
from tests.conversations import made_conversations, until
from tests.fake_clients import FakeChat

TOKEN = "a-token-of-24-characters"
Http = httpx.AsyncClient


@pytest.fixture
def chat() -> FakeChat:
    return FakeChat()


@pytest.fixture
async def http(tmp_path: Path, chat: FakeChat) -> AsyncIterator[Http]:
    """As the user `ann`; another one is a header away."""
    app = Starlette(routes=ConversationsDoor(made_conversations(tmp_path, chat)).routes("/v1"))
    door = Door(app, credential=Credential(TOKEN), user_header="x-user", max_body_bytes=1 << 20)
    headers = {"authorization": f"Bearer {TOKEN}", "x-user": "ann"}
    transport = httpx.ASGITransport(door)
    async with Http(transport=transport, base_url="http://raydio.test/v1", headers=headers) as client:
        yield client


BOB = {"x-user": "bob"}


def events(response: httpx.Response) -> list[dict[str, Any]]:
    lines = response.text.splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


async def begun(http: Http, text: str = "How are you?") -> dict[str, Any]:
    """A conversation of one question and its answer."""
    response = await http.post("/conversations", json={"text": text, "stream": False})
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def test_an_answer_streams_as_typed_events(http: Http) -> None:
    response = await http.post("/conversations", json={"text": "one two", "temperature": 0})
    assert response.headers["content-type"].startswith("text/event-stream")
    told = events(response)
    assert told[0]["type"] == "asked"
    assert told[-1]["type"] == "answer_stored"
    words = "".join(event["text"] for event in told if event["type"] == "text_delta")
    assert words == told[-1]["answer"]["text"] == "You said: one two"
    assert "turn_done" in {event["type"] for event in told}


async def test_a_conversation_goes_on_and_branches(http: Http, chat: FakeChat) -> None:
    first = await begun(http)
    path = f"/conversations/{first['conversation']['id']}"
    second = (await http.post(f"{path}/messages", json={"text": "And now?", "stream": False})).json()
    assert second["question"]["parent_id"] == first["answer"]["id"]
    again = {"answer_again": first["question"]["id"], "stream": False}
    assert (await http.post(f"{path}/messages", json=again)).json()["answer"]["branch"] == 2
    edited = {"text": "Who are you?", "from_start": True, "stream": False}
    assert (await http.post(f"{path}/messages", json=edited)).status_code == 200
    opened = (await http.get(path)).json()
    assert [message["text"] for message in opened["messages"]] == ["Who are you?", "You said: Who are you?"]
    back = (await http.patch(path, json={"shown": second["answer"]["id"]})).json()
    assert len(back["messages"]) == 4
    assert chat.requests[1].messages[0].content == "How are you?"


async def test_the_list_is_searched_and_filtered(http: Http) -> None:
    tea, cats = await begun(http, "Tea for six"), await begun(http, "Names of cats")
    path = f"/conversations/{tea['conversation']['id']}"
    change = {"title": "Pot", "folder": " Kitchen ", "tags": ["hot", "hot", " "], "pinned": True}
    assert (await http.patch(path, json=change)).json()["summary"]["tags"] == ["hot"]
    listed = (await http.get("/conversations", params={"limit": 1})).json()
    assert [item["title"] for item in listed["data"]] == ["Pot"]
    assert (listed["has_more"], listed["folders"], listed["tags"]) == (True, ["Kitchen"], ["hot"])

    async def found(**query: str) -> list[str]:
        answer = (await http.get("/conversations", params=query)).json()
        return [item["id"] for item in answer["data"]]

    assert await found(search="CATS") == [cats["conversation"]["id"]]
    assert await found(folder="Kitchen") == await found(tag="hot") == [tea["conversation"]["id"]]
    assert await found(search="nothing like it") == []


async def test_deleted_is_gone(http: Http) -> None:
    ids = [(await begun(http, text))["conversation"]["id"] for text in ("one", "two", "three")]
    assert (await http.delete(f"/conversations/{ids[0]}")).json() == {"n_deleted": 1}
    assert (await http.delete(f"/conversations/{ids[0]}")).status_code == 404
    many = await http.post("/conversations/delete", json={"ids": [ids[1], ids[2], "unknown"]})
    assert many.json() == {"n_deleted": 2}
    assert (await http.get("/conversations")).json()["data"] == []


async def test_feedback_is_kept_and_exported(http: Http) -> None:
    answer_id = (await begun(http))["answer"]["id"]
    path = f"/messages/{answer_id}/feedback"
    assert (await http.put(path, json={"thumb": "down", "comment": " Too short. "})).json()["thumb"] == "down"
    [line] = (await http.get("/feedback.jsonl")).text.splitlines()
    assert json.loads(line)["comment"] == "Too short."
    assert (await http.put(path, json={"thumb": None})).json()["thumb"] is None
    assert (await http.put(path, json={"thumb": "sideways"})).status_code == 400


@pytest.mark.parametrize("kind", ["markdown", "json", "pdf"])
async def test_exports_are_files(http: Http, kind: str) -> None:
    title = 'Tee "für" 茶/../x'
    one = (await begun(http, "Tea"))["conversation"]["id"]
    await http.patch(f"/conversations/{one}", json={"title": title})
    file = await http.get("/conversations/export", params={"ids": one, "format": kind})
    assert file.status_code == 200, file.text
    assert file.headers["content-disposition"].startswith('attachment; filename="')
    assert len(file.content) > 40


async def test_an_export_can_be_imported(http: Http) -> None:
    await begun(http, "Tea")
    exported = (await http.get("/conversations/export", params={"format": "json"})).content
    imported = await http.post("/conversations/import", content=exported, headers=BOB)
    assert imported.json()["n_conversations"] == 1
    assert (await http.post("/conversations/import", content=b"\x00 no file")).status_code == 415


async def test_another_user_finds_nothing(http: Http) -> None:
    mine = await begun(http)
    id_, answer_id = mine["conversation"]["id"], mine["answer"]["id"]
    path = f"/conversations/{id_}"
    assert (await http.get("/conversations", headers=BOB)).json()["data"] == []
    refused = [
        await http.get(path, headers=BOB),
        await http.patch(path, json={"title": "Mine now"}, headers=BOB),
        await http.delete(path, headers=BOB),
        await http.get(f"{path}/stream", headers=BOB),
        await http.post(f"{path}/messages", json={"text": "Hello"}, headers=BOB),
        await http.put(f"/messages/{answer_id}/feedback", json={"thumb": "up"}, headers=BOB),
        await http.get("/conversations/export", params={"ids": id_}, headers=BOB),
    ]
    assert {response.status_code for response in refused} == {404}
    assert (await http.post("/conversations/delete", json={"ids": [id_]}, headers=BOB)).json() == {
        "n_deleted": 0
    }
    assert (await http.get("/feedback.jsonl", headers=BOB)).text == ""
    assert (await http.get(path)).status_code == 200
    assert (await http.get(path, headers={"x-user": ""})).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/conversations", {"text": ""}),
        ("POST", "/conversations", {"text": "x", "temperatur": 1}),
        ("POST", "/conversations", {"text": "x", "temperature": 3}),
        ("POST", "/conversations", {"text": "x", "retrieval": {"mode": "sometimes"}}),
        ("POST", "/conversations", {"text": "x", "retrieval": {"filters": {"expr": "1 == 1"}}}),
        ("POST", "/conversations/delete", {"ids": []}),
        ("GET", "/conversations?limit=0", None),
        ("GET", "/conversations?serch=x", None),
        ("GET", "/conversations/export?format=docx", None),
    ],
)
async def test_what_makes_no_sense_is_refused(
    http: Http, chat: FakeChat, method: str, path: str, body: dict[str, Any] | None
) -> None:
    response = await http.request(method, path, json=body)
    assert response.status_code == 400
    assert response.json()["error"]["message"]
    assert not chat.requests


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b'"x"', "\u00e9".encode("latin-1")])
async def test_a_body_that_is_none_is_refused(http: Http, junk: bytes) -> None:
    assert (await http.post("/conversations", content=junk)).status_code == 400


async def test_a_second_caller_joins_and_stops(tmp_path: Path) -> None:
    chat = FakeChat("word", pause_s=0.02, endless=True)
    app = Starlette(routes=ConversationsDoor(made_conversations(tmp_path, chat)).routes("/v1"))
    async with Http(transport=httpx.ASGITransport(app), base_url="http://raydio.test/v1") as http:
        asking = asyncio.create_task(http.post("/conversations", json={"text": "Go on"}))

        async def listed() -> list[Any]:
            found: list[Any] = (await http.get("/conversations")).json()["data"]
            return found

        async def is_listed() -> bool:
            return bool(await listed())

        async def has_words() -> bool:
            return bool((await http.get(path)).json()["messages"][-1]["text"])

        await until(is_listed)
        [summary] = await listed()
        assert summary["running"]
        path = f"/conversations/{summary['id']}"
        joining = asyncio.create_task(http.get(f"{path}/stream"))
        await until(has_words)
        assert (await http.post(f"{path}/stop")).status_code == 204
        asked, joined = events(await asking), events(await joining)
    assert joined[0]["type"] == "joined"
    assert asked[-1] == joined[-1]
    assert asked[-1]["answer"]["status"] == "stopped"
    assert chat.n_closed == 1


async def test_nothing_is_written_nothing_is_joined(http: Http) -> None:
    path = f"/conversations/{(await begun(http))['conversation']['id']}"
    assert (await http.get(f"{path}/stream")).status_code == 204
    assert (await http.post(f"{path}/stop")).status_code == 204
