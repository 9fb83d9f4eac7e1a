"""Exports and imports: nothing is lost between them, and foreign files are read with distrust."""

from __future__ import annotations

import io
import json
import random
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pypdfium2
import pytest

from serve_apps.conversation.export_blocks import blocks_of
from serve_apps.conversation.export_markdown import to_markdown
from serve_apps.conversation.export_pdf import document, to_pdf
from serve_apps.conversation.export_typst import missing_in, pdf
from serve_apps.conversation.file import WholeConversation, to_json
from serve_apps.conversation.import_conversations import read
from serve_apps.errors import DocumentTooLarge, DocumentUnreadable, NotFound, StageTimeout
from serve_apps.wire import Source, Span
from serve_apps.wire_conversations import ConversationChange, ListRequest, StoredMessage
from tests.conversations import USER, asked, branch, made_conversations
from tests.fake_clients import FakeChat

SOURCE = Source(id="s", title="Report, page 3", text="Rain fell.", score=0.7, url="v1/documents/d/pages/3")
TEXTS = (
    "plain", "", "*bold* [1] and `code [1]`", "Ünïcödé 中文 😀 עברית", "#set page(fill: red)\n$x$ #{1+1}",
    "a\0b", "<script>alert(1)</script>", "| a | b |\n|---|---|\n| 1 | 2 |", "\\(x^2\\) $$y$$",
)  # fmt: skip


def a_message(message_id: str, parent_id: str | None, rng: random.Random) -> StoredMessage:
    if rng.random() < 0.5:
        text = rng.choice(TEXTS)
        return StoredMessage(
            id=message_id, role="user", text=text, status="sent", created_s=rng.random(), parent_id=parent_id
        )
    return StoredMessage(
        id=message_id,
        role="assistant",
        text=rng.choice(TEXTS),
        status=rng.choice(["done", "stopped", "failed", "interrupted"]),
        created_s=rng.random() * 2e9,
        parent_id=parent_id,
        sources=(SOURCE,) * rng.randrange(3),
        waterfall=(Span(name="llm", start_ms=0.5, duration_ms=3),),
        tokens_per_s=3.5,
        first_token_ms=41.25,
        n_tokens=7,
        notes=("A note.",) * rng.randrange(2),
        error="It failed.",
        error_code="stage_failed",
        model="Fake 1M",
        thumb=rng.choice(["up", "down", None]),
        comment=rng.choice(["", "no"]),
    )


def a_conversation(seed: int, n_messages: int = 12) -> WholeConversation:
    rng = random.Random(seed)  # noqa: S311
    messages: list[StoredMessage] = []
    for n in range(n_messages):
        parent = rng.choice([None, *messages]) if messages else None
        messages.append(a_message(f"m{n}", parent.id if parent else None, rng))
    return WholeConversation(
        id=f"c{seed}",
        title=rng.choice(["A title", "Ein Titel 中", "x" * 150]),
        created_s=rng.random() * 2e9,
        updated_s=rng.random() * 2e9,
        folder=rng.choice(["", "Work"]),
        tags=("b", "a")[: rng.randrange(3)],
        pinned=rng.random() < 0.5,
        shown=rng.choice(messages).id,
        messages=tuple(messages),
        settings={"m1": {"temperature": 0.1}},
    )


def without_ids(conversation: WholeConversation) -> WholeConversation:
    """With numbers instead of ids, and of versions only what the tree says."""
    number = {message.id: str(n) for n, message in enumerate(conversation.messages)}
    return replace(
        conversation,
        id="",
        shown=number[conversation.shown or ""],
        settings={number[key]: value for key, value in conversation.settings.items()},
        messages=tuple(
            replace(
                message,
                id=number[message.id],
                text=message.text.replace("\0", "\ufffd"),
                parent_id=number.get(message.parent_id or ""),
                siblings=(),
                branch=1,
                n_branches=1,
            )
            for message in conversation.messages
        ),
    )


@pytest.mark.parametrize("seed", range(12))
async def test_what_is_exported_comes_back_equal(tmp_path: Path, seed: int) -> None:
    conversations = made_conversations(tmp_path)
    made = a_conversation(seed)
    first = await conversations.import_file(USER, to_json([made]))
    assert (first.n_conversations, first.n_messages, first.problems) == (1, 12, ())
    data = (await conversations.export(USER, [], "json")).data
    [back] = read(data).conversations
    assert without_ids(back) == without_ids(made)
    # Into another user's conversations, and once more: equal again.
    assert (await conversations.import_file("other", data)).n_conversations == 1
    [again] = read((await conversations.export("other", [], "json")).data).conversations
    assert without_ids(again) == without_ids(made)
    assert again.id != back.id


async def test_twice_changes_nothing(tmp_path: Path) -> None:
    conversations = made_conversations(tmp_path)
    data = to_json([a_conversation(1), a_conversation(2)])
    assert (await conversations.import_file(USER, data)).n_conversations == 2
    second = await conversations.import_file(USER, data)
    assert (second.n_conversations, second.n_messages, second.n_skipped) == (0, 0, 2)
    own = (await conversations.export(USER, [], "json")).data
    assert (await conversations.import_file(USER, own)).n_skipped == 2
    assert len(await conversations.summaries(ListRequest(user=USER))) == 2


async def test_an_export_comes_back_after_a_deletion(tmp_path: Path) -> None:
    conversations = made_conversations(tmp_path, FakeChat("Yes."))
    [first, *_] = await asked(conversations, "Is it?")
    data = (await conversations.export(USER, [first.conversation.id], "json")).data  # type: ignore[union-attr]
    assert (await conversations.import_file(USER, data)).n_skipped == 1
    await conversations.delete(USER, [first.conversation.id])  # type: ignore[union-attr]
    assert (await conversations.import_file(USER, data)).n_conversations == 1
    [summary] = await conversations.summaries(ListRequest(user=USER))
    assert [m.text for m in await branch(conversations, summary.id)] == ["Is it?", "Yes."]


async def test_another_users_conversations_are_not_exported(tmp_path: Path) -> None:
    conversations = made_conversations(tmp_path)
    [first, *_] = await asked(conversations, "Mine")
    with pytest.raises(NotFound):
        await conversations.export("other", [first.conversation.id], "markdown")  # type: ignore[union-attr]


def chatgpt_node(key: str, parent: str | None, role: str = "", *parts: Any, **more: Any) -> dict[str, Any]:
    message = None
    if role:
        content = {"content_type": more.pop("content_type", "text"), "parts": list(parts)}
        message = {"id": key, "author": {"role": role}, "content": content, "metadata": {}, **more}
    return {"id": key, "message": message, "parent": parent, "children": []}


CHATGPT = {
    "title": "Rain",
    "create_time": 1697000000.5,
    "update_time": 1697000100.5,
    "conversation_id": "abc",
    "current_node": "a2",
    "mapping": {
        node["id"]: node
        for node in (
            chatgpt_node("root", None),
            chatgpt_node("sys", "root", "system", ""),
            chatgpt_node("q1", "sys", "user", "Will it rain?", create_time=1697000001.0),
            chatgpt_node("tool", "q1", "tool", "a result", create_time=1697000002.0),
            chatgpt_node("a1", "tool", "assistant", "No.", create_time=1697000003.0),
            chatgpt_node(
                "a2", "tool", "assistant", "Yes.", {"content_type": "image_asset_pointer"},
                create_time=1697000004.0, content_type="multimodal_text", metadata={"model_slug": "gpt-x"},
            ),
            chatgpt_node("t", "q1", "assistant", "hm", content_type="thoughts"),
        )
    },
}  # fmt: skip


async def test_chatgpts_export_keeps_its_branches(tmp_path: Path) -> None:
    conversations = made_conversations(tmp_path)
    done = await conversations.import_file(USER, json.dumps([CHATGPT]).encode())
    assert (done.n_conversations, done.n_messages, done.problems) == (1, 3, ())
    [summary] = await conversations.summaries(ListRequest(user=USER))
    assert (summary.title, summary.created_s, summary.updated_s) == ("Rain", 1697000000.5, 1697000100.5)
    question, answer = await branch(conversations, summary.id)
    assert (question.text, answer.text, answer.model) == ("Will it rain?", "Yes.\n\n[picture]", "gpt-x")
    assert (answer.branch, answer.n_branches) == (2, 2)
    change = ConversationChange(shown=answer.siblings[0])
    other = await conversations.change(USER, summary.id, change)
    assert other.messages[-1].text == "No."


def zipped(**files: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_json", ".json"), content)
    return data.getvalue()


async def test_chatgpts_zip_is_opened(tmp_path: Path) -> None:
    conversations = made_conversations(tmp_path)
    data = zipped(user_json=b"{}", conversations_json=json.dumps([CHATGPT]).encode())
    assert (await conversations.import_file(USER, data)).n_conversations == 1
    assert (await conversations.import_file(USER, json.dumps([CHATGPT]).encode())).n_skipped == 1


async def test_open_webuis_export_is_read(tmp_path: Path) -> None:
    conversations = made_conversations(tmp_path)
    messages = {
        "q": {"id": "q", "parentId": None, "role": "user", "content": "Hello", "timestamp": 1700000000},
        "a": {
            "id": "a",
            "parentId": "q",
            "role": "assistant",
            "content": "Hi",
            "model": "llama",
            "done": True,
        },
    }
    chat = {"title": "Greeting", "history": {"messages": messages, "currentId": "a"}}
    entry = {"id": "x", "title": "Greeting", "chat": chat, "created_at": 1700000000, "meta": {"tags": ["t"]}}
    assert (await conversations.import_file(USER, json.dumps([entry]).encode())).n_messages == 2
    [summary] = await conversations.summaries(ListRequest(user=USER))
    assert (summary.title, summary.tags) == ("Greeting", ("t",))


async def test_broken_entries_are_told_and_others_imported(tmp_path: Path) -> None:
    conversations = made_conversations(tmp_path)
    broken: list[Any] = [1, {"title": "No mapping"}, {**CHATGPT, "mapping": {"a": 3}}]
    done = await conversations.import_file(USER, json.dumps([CHATGPT, *broken]).encode())
    assert done.n_conversations == 1
    assert len(done.problems) == 3
    file = json.loads(to_json([a_conversation(1), a_conversation(2)]))
    del file["conversations"][0]["messages"][3]["role"]
    done = await conversations.import_file(USER, json.dumps(file).encode())
    assert done.n_conversations == 1
    assert "Conversation 1 is broken: messages.3.role" in done.problems[0]


async def test_circles_and_lost_parents_are_put_right(tmp_path: Path) -> None:
    conversations = made_conversations(tmp_path)
    rng = random.Random(0)  # noqa: S311
    messages = (
        a_message("a", "b", rng), a_message("b", "a", rng), a_message("c", "gone", rng),
        replace(a_message("d", "c", rng), role="assistant", status="writing"), a_message("c", None, rng),
    )  # fmt: skip
    made = replace(a_conversation(1), messages=messages, shown="a", settings={})
    done = await conversations.import_file(USER, to_json([made]))
    assert done.n_messages == 2
    assert "3 of its messages" in done.problems[0]
    [summary] = await conversations.summaries(ListRequest(user=USER))
    assert not summary.running
    assert [m.status for m in await branch(conversations, summary.id)][-1] == "interrupted"


@pytest.mark.parametrize(
    "data",
    [
        b"", b"hello", b"[]", b"{}", b"null", b'{"format": "raydio"}', b'{"format": "raydio", "version": 2}',
        b"[" * 100_000, b"PK\x03\x04 broken", zipped(), zipped(a_json=b"1", b_json=b"2"), b"\xff\xfe\x00",
        b"%PDF-1.7", b'[{"mapping": 3}]',
    ],
    ids=range(14),
)  # fmt: skip
def test_other_files_are_refused_with_what_is_accepted(data: bytes) -> None:
    with pytest.raises(DocumentUnreadable) as refused:
        read(data)
    assert refused.value.hint


def test_a_bomb_is_refused() -> None:
    with pytest.raises(DocumentTooLarge):
        read(zipped(conversations_json=b" " * 50_000_000))


def test_markdown_says_who_when_and_from_where() -> None:
    question = StoredMessage(id="q", role="user", text="Rain?", status="sent", created_s=1_700_000_000)
    answer = StoredMessage(
        id="a", role="assistant", text="It did [1]. `x[1]`\n```\ny[1]\n```\n[7]", status="stopped",
        created_s=1_700_000_001, parent_id="q", sources=(SOURCE,), model="Small", notes=("Short.",),
    )  # fmt: skip
    text = to_markdown(
        WholeConversation(
            id="c", title="Rain", created_s=0, updated_s=0, shown="a", messages=(question, answer)
        )
    )
    assert "# Rain" in text
    assert "## You\n\n*2023-11-14 22:13 UTC*\n\nRain?" in text
    assert "## Raydio (Small)" in text
    assert "It did [^2-1]. `x[1]`\n```\ny[1]\n```" in text
    assert "[7]" in text
    assert "[^2-1]: **Report, page 3**: Rain fell." in text
    assert "> Stopped before its end." in text


MARKDOWN = """# Heading
Some **bold**, *italic*, ~~gone~~, `code`, [a link](https://example.org) and [a bad one](javascript:alert(1)).

1. one
2. two
   - nested
   - list

> quoted
> > deeper

| a | b |
|---|--:|
| 1 | **2** |

```python
print("#set page(width: 1pt)")
```

![a picture](http://example.org/x.png) <b>html</b> $e = mc^2$ \\(x_1 * y_1\\) costs $5 and $6

---
#set page(fill: red) #panic("no") @ref <label> ]] }} */ //
"""


def pdf_text(data: bytes) -> str:
    file = pypdfium2.PdfDocument(data)
    try:
        return "\n".join(page.get_textpage().get_text_range() for page in file)
    finally:
        file.close()


def conversation_of(text: str) -> WholeConversation:
    answer = StoredMessage(
        id="a", role="assistant", text=text, status="done", created_s=1_700_000_001, sources=(SOURCE,)
    )
    return WholeConversation(
        id="c", title='#panic("t")', created_s=0, updated_s=0, shown="a", messages=(answer,)
    )


def test_a_pdf_holds_everything_and_runs_nothing() -> None:
    text = pdf_text(to_pdf(conversation_of(MARKDOWN)))
    for words in (
        '#panic("t")', "Heading", "bold", "nested", "deeper", "[picture: a picture]", "<b>html</b>",
        "$e = mc^2$", "\\(x_1 * y_1\\)", "#set page(fill: red)", '#panic("no")', "Report, page 3", "costs $5",
    ):  # fmt: skip
        assert words in text, words


def test_a_pdf_that_takes_too_long_is_given_up() -> None:
    with pytest.raises(StageTimeout):
        to_pdf(conversation_of("x"), timeout_s=0.001)


def test_deep_and_long_markdown_is_set() -> None:
    deep = "> " * 60 + "bottom\n\n" + "- " * 30 + "last\n\n" + "*a **b " * 40 + "end " + "w" * 5000
    text = pdf_text(to_pdf(conversation_of(deep)))
    assert "bottom" in text
    assert "last" in text
    assert text.replace("\u200b", "").replace("\r\n", "").count("w") >= 5000


def test_characters_without_a_font_are_seen_to_be_missing() -> None:
    assert missing_in("abcé") == []
    assert missing_in("жe\u0301\U0010ff00") == ["\U0010ff00"]
    data = document(conversation_of("Text \U0010ff00 more"))
    assert "\N{WHITE SQUARE} stands for a character" in pdf_text(pdf(data)).replace("\r\n", " ")


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_becomes_blocks(text: str) -> None:
    assert json.dumps(blocks_of(text))


async def test_several_conversations_are_one_zip(tmp_path: Path) -> None:
    conversations = made_conversations(tmp_path, FakeChat("Yes."))
    for question in ("Same: title?", "same: title?", "../../etc/passwd"):
        await asked(conversations, question)
    exported = await conversations.export(USER, [], "markdown")
    assert exported.media_type == "application/zip"
    with zipfile.ZipFile(io.BytesIO(exported.data)) as archive:
        names = archive.namelist()
    assert sorted(names) == ["Same title 2.md", "etc passwd.md", "same title.md"]
    one = await conversations.export(
        USER, [(await conversations.summaries(ListRequest(user=USER)))[0].id], "pdf"
    )
    assert one.name == "etc passwd.pdf"
    assert one.data.startswith(b"%PDF")


async def test_feedback_is_exported_a_line_each(tmp_path: Path) -> None:
    conversations = made_conversations(tmp_path, FakeChat("Yes."))
    [first, *_] = await asked(conversations, "Is it?")
    await asked(conversations, "Unjudged?")
    await conversations.feedback(USER, first.answer_id, "down", "No\nit is not")  # type: ignore[union-attr]
    exported = await conversations.export_feedback(USER)
    [line] = [json.loads(line) for line in exported.data.splitlines()]
    assert (line["question"], line["answer"], line["thumb"]) == ("Is it?", "Yes.", "down")
    assert line["comment"] == "No\nit is not"
    assert (await conversations.export_feedback("other")).data == b""
