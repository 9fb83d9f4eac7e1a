"""Conversations as a Serve application: a replica killed in mid answer loses nothing that was seen."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from sqlalchemy import text

from serve_apps.clients_knowledge import ConversationsClient
from serve_apps.database import opened
from serve_apps.errors import NotFound, RaydioError
from serve_apps.settings import settings
from serve_apps.wire import TextDelta
from serve_apps.wire_conversations import AnswerStored, Asked, AskRequest, Joined, ListRequest
from tests.conversations import USER, sqlite_url
from tests.ray_home import RAY_HOME
from tests.serve.conftest import Deploy

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(autouse=True)
def same_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """The replicas' home, not a fresh one."""
    monkeypatch.setenv("RAYDIO_HOME", str(RAY_HOME))
    settings.cache_clear()


@pytest.fixture(scope="module")
def conversations(deploy: Deploy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConversationsClient]:
    log = tmp_path_factory.mktemp("llm") / "events.log"
    log.touch()
    engine = {"engine": "tests.serve.engines:WatchedLlm", "engine_options": {"log": str(log)}}
    stage = "serve_apps.{}:app"
    deploy(
        {
            "applications": [
                {"name": name, "route_prefix": None, "import_path": stage.format(name), "args": args}
                for name, args in (("llm", engine), ("chat", {}), ("conversations", {"save_every_s": 0.1}))
            ]
        }
    )
    yield ConversationsClient()
    for path in Path(RAY_HOME).glob("raydio.db*"):
        path.unlink()


async def test_an_answer_is_stored_and_joined(conversations: ConversationsClient) -> None:
    async with aclosing(conversations.ask(AskRequest(user=USER, text="finish this"))) as events:
        first = await anext(events)
        assert isinstance(first, Asked)
        async with aclosing(conversations.follow(USER, first.conversation.id)) as joined:
            assert isinstance(await anext(joined), Joined)
            last = [event async for event in joined][-1]
        own = [event async for event in events][-1]
    assert isinstance(last, AnswerStored)
    assert own == last
    assert last.answer.text.split() == [f"w{n}" for n in range(8)]
    assert last.answer.model
    opened_again = await conversations.open(USER, first.conversation.id)
    assert opened_again.messages[-1] == last.answer
    with pytest.raises(NotFound):
        await conversations.open("other", first.conversation.id)


async def test_stop_reaches_the_answer(conversations: ConversationsClient) -> None:
    async with aclosing(conversations.ask(AskRequest(user=USER, text="go on"))) as events:
        first = await anext(events)
        assert isinstance(first, Asked)
        assert isinstance(await anext(events), TextDelta)
        await conversations.stop(USER, first.conversation.id)
        last = [event async for event in events][-1]
    assert isinstance(last, AnswerStored)
    assert last.answer.status == "stopped"


async def test_leaving_does_not_end_an_answer(conversations: ConversationsClient) -> None:
    async with aclosing(conversations.ask(AskRequest(user=USER, text="finish this, too"))) as events:
        first = await anext(events)
        assert isinstance(first, Asked)
    async with aclosing(conversations.follow(USER, first.conversation.id)) as joined:
        seen = [event async for event in joined]
    found = (await conversations.open(USER, first.conversation.id)).messages[-1]
    assert found.status == "done"
    assert len(found.text.split()) == 8
    assert not seen or seen[-1] == AnswerStored(answer=found)


async def test_a_killed_replica_leaves_the_question_and_the_text_so_far(
    conversations: ConversationsClient,
) -> None:
    first, said = await asked_until_killed(conversations)
    found = await conversations.open(USER, first.conversation.id)
    question, answer = found.messages
    assert question == first.question
    assert (answer.status, found.summary.running) == ("interrupted", False)
    assert answer.text.startswith("w0 w1 ")
    assert said.startswith(answer.text) or answer.text.startswith(said)
    again = AskRequest(user=USER, text="finish", conversation_id=first.conversation.id)
    last = [event async for event in conversations.ask(again)][-1]
    assert isinstance(last, AnswerStored)
    assert last.answer.status == "done"
    assert len(await conversations.summaries(ListRequest(user=USER))) == 4


async def asked_until_killed(conversations: ConversationsClient) -> tuple[Asked, str]:
    """Ask, kill the replica in mid answer; the first event and the text that was seen."""
    said, killed = "", False
    events = conversations.ask(AskRequest(user=USER, text="on and on"))
    first = await anext(events)
    assert isinstance(first, Asked)
    try:
        async for event in events:
            assert isinstance(event, TextDelta)
            said += event.text
            if len(said) > 100 and not killed:
                os.kill(writer(), signal.SIGKILL)
                killed = True
    except RaydioError:
        return first, said
    raise AssertionError("the replica lives")


def writer() -> int:
    """The process that writes the answer."""
    database = opened(sqlite_url(Path(RAY_HOME)))
    with database.connect() as connection:
        query = "SELECT pid FROM conversation_writers ORDER BY alive_s DESC LIMIT 1"
        pid = connection.scalar(text(query))
    database.dispose()
    assert isinstance(pid, int)
    return pid
