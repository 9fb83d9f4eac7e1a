"""The list of conversations: searched, filed, paged; and deletions that leave no trace."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from serve_apps.conversation.exchange import Exchange
from serve_apps.conversation.file import Readable, WholeConversation
from serve_apps.conversation.search import excerpt
from serve_apps.conversation.store import MOST_TAGS
from serve_apps.conversation.tables import conversations as table
from serve_apps.conversation.tables import messages, tags
from serve_apps.conversation.tree import Tree
from serve_apps.errors import EmptyInput, InputError, NotFound
from serve_apps.wire_conversations import Asked, ConversationChange, ListRequest, StoredMessage
from tests.conversations import USER, asked, made_conversations
from tests.fake_clients import FakeChat


async def several(database: Engine, *questions: str, reply: str | None = None) -> tuple[Any, list[str]]:
    conversations = made_conversations(Path("unused"), FakeChat(reply), database=database)
    keys = []
    for question in questions:
        first = (await asked(conversations, question))[0]
        assert isinstance(first, Asked)
        keys.append(first.conversation.id)
    return conversations, keys


async def titles(conversations: Any, **request: Any) -> list[str]:
    found = await conversations.summaries(ListRequest(user=USER, **request))
    return [summary.title for summary in found]


async def test_newest_first_and_pinned_before_all(database: Engine) -> None:
    conversations, keys = await several(database, "One", "Two", "Three")
    assert await titles(conversations) == ["Three", "Two", "One"]
    await conversations.change(USER, keys[0], ConversationChange(pinned=True))
    assert await titles(conversations) == ["One", "Three", "Two"]
    await asked(conversations, "More", conversation_id=keys[1])
    assert await titles(conversations) == ["One", "Two", "Three"]
    assert await titles(conversations, limit=1, offset=1) == ["Two"]
    assert await titles(conversations, limit=-1) == []
    assert await titles(conversations, limit=10**9, offset=-5) == ["One", "Two", "Three"]


async def test_search_finds_titles_and_messages_in_any_case(database: Engine) -> None:
    conversations, keys = await several(
        database, "Straße nach ÜBERLINGEN", "Rain in May", reply="Grüße, 100%_x"
    )
    assert await titles(conversations, search="überlingen") == ["Straße nach ÜBERLINGEN"]
    assert await titles(conversations, search="STRASSE") == ["Straße nach ÜBERLINGEN"]
    assert await titles(conversations, search="may rain") == ["Rain in May"]
    assert len(await titles(conversations, search="grüsse")) == 2
    await conversations.change(USER, keys[1], ConversationChange(title="Weather"))
    assert await titles(conversations, search="weather") == ["Weather"]
    assert await titles(conversations, search="weather rain") == []


@pytest.mark.parametrize(
    ("words", "n_found"),
    [("100%", 1), ("%", 1), ("_", 1), ("100%_x", 1), ("1__%", 0), ("\\", 0), ("' OR 1=1 --", 0), ("\0", 0)],
)
async def test_wildcards_and_quotes_are_letters(database: Engine, words: str, n_found: int) -> None:
    conversations, _ = await several(database, "Sure 100%_x", "Other", reply="Yes.")
    assert len(await titles(conversations, search=words)) == n_found


async def test_results_show_where(database: Engine) -> None:
    conversations, _ = await several(database, "Tell me", reply="word " * 100 + "needle " + "word " * 100)
    [found] = await conversations.summaries(ListRequest(user=USER, search="NEEDLE"))
    assert found.excerpt.startswith("…word")
    assert "needle" in found.excerpt
    assert found.excerpt.endswith("…")
    assert len(found.excerpt) < 200


def test_excerpts_of_short_texts_are_whole() -> None:
    assert excerpt("A  short\ntext", ["text"]) == "A short text"


async def test_folders_and_tags(database: Engine) -> None:
    conversations, keys = await several(database, "One", "Two", "Three")
    change = ConversationChange(folder=" Work ", tags=("b", "a", "b", " "))
    changed = await conversations.change(USER, keys[0], change)
    assert (changed.summary.folder, changed.summary.tags) == ("Work", ("b", "a"))
    await conversations.change(USER, keys[1], ConversationChange(tags=("a",)))
    assert await conversations.folders(USER) == (["Work"], ["a", "b"])
    assert await conversations.folders("other") == ([], [])
    assert await titles(conversations, folder="Work") == ["One"]
    assert await titles(conversations, folder="") == ["Three", "Two"]
    assert await titles(conversations, tag="a") == ["Two", "One"]
    assert await titles(conversations, tag="a", search="one") == ["One"]
    cleared = await conversations.change(USER, keys[0], ConversationChange(folder="", tags=()))
    assert (cleared.summary.folder, cleared.summary.tags) == ("", ())


async def test_changes_that_make_no_sense_are_refused(database: Engine) -> None:
    conversations, [key] = await several(database, "One")
    with pytest.raises(EmptyInput):
        await conversations.change(USER, key, ConversationChange(title="  "))
    with pytest.raises(NotFound):
        await conversations.change(USER, key, ConversationChange(shown="unknown"))
    with pytest.raises(InputError):
        await conversations.change(USER, key, ConversationChange(tags=tuple(map(str, range(MOST_TAGS + 1)))))
    assert await titles(conversations) == ["One"]


async def test_deleting_leaves_no_row(database: Engine) -> None:
    conversations, keys = await several(database, "One", "Two")
    await conversations.change(USER, keys[0], ConversationChange(tags=("t",)))
    assert await conversations.delete(USER, keys) == 2
    with database.connect() as connection:
        for each in (table, messages, tags):
            assert connection.scalar(select(func.count()).select_from(each)) == 0


async def test_deleting_leaves_no_trace_in_the_file(tmp_path: Path) -> None:
    conversations = made_conversations(tmp_path, FakeChat("The CANARYANSWER sings. " * 500))
    keys = []
    for question in ("CANARYQUESTION", "Other"):
        first = (await asked(conversations, question * 50))[0]
        assert isinstance(first, Asked)
        await conversations.feedback(USER, first.answer_id, "up", "CANARYCOMMENT")
        change = ConversationChange(title="CANARYTITLE", folder="CANARYFOLDER", tags=("CANARYTAG",))
        await conversations.change(USER, first.conversation.id, change)
        keys.append(first.conversation.id)

    def on_disk() -> bytes:
        return b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file()).lower()

    assert b"canaryanswer" in on_disk()
    await conversations.delete(USER, keys)
    assert b"canary" not in on_disk()


async def test_ten_thousand_conversations_are_listed_and_searched_fast(tmp_path: Path) -> None:
    conversations = made_conversations(tmp_path)
    text = "Some words that were said about one thing and another, again and again. " * 4
    many = Readable(source="test", conversations=[a_conversation(n, text) for n in range(10_000)])
    exchange = Exchange(conversations._database)  # type: ignore[arg-type]
    assert (await asyncio.to_thread(exchange.add, USER, many)).n_conversations == 10_000
    for request in (
        ListRequest(user=USER),
        ListRequest(user=USER, offset=5000),
        ListRequest(user=USER, search="number4711x"),
        ListRequest(user=USER, search="nowhere"),
        ListRequest(user=USER, search="words again"),
    ):
        times_s = []
        for _ in range(3):
            started = time.perf_counter()
            await conversations.summaries(request)
            times_s.append(time.perf_counter() - started)
        assert min(times_s) < 0.5, request  # 0.1 s on an idle machine; tests share theirs


def a_conversation(n: int, text: str) -> WholeConversation:
    said = [
        StoredMessage(
            id=str(k),
            role="assistant" if k % 2 else "user",
            text=f"number{n}x {text}",
            status="done" if k % 2 else "sent",
            created_s=n + k,
            parent_id=str(k - 1) if k else None,
        )
        for k in range(4)
    ]
    return WholeConversation(
        id=str(n), title=f"Title {n}", created_s=n, updated_s=n, messages=tuple(said), shown="3"
    )


def test_trees_of_any_shape() -> None:
    rows = [
        {"id": "a", "parent_id": None, "ordinal": 0},
        {"id": "b", "parent_id": "a", "ordinal": 1},
        {"id": "c", "parent_id": "a", "ordinal": 2},
        {"id": "d", "parent_id": "b", "ordinal": 3},
    ]
    tree = Tree(rows[::-1])
    assert [row["id"] for row in tree.branch("d")] == ["a", "b", "d"]
    assert tree.branch(None) == []
    assert tree.siblings("b") == ("b", "c")
    assert (tree.newest_end("a"), tree.newest_end("c")) == ("d", "c")
