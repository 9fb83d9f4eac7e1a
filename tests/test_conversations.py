"""Questions are stored, answers go on, branches are kept."""

from __future__ import annotations

from pathlib import Path

from serve_apps.wire_conversations import AnswerStored, Asked, ListRequest
from tests.conversations import USER, asked, branch, made_conversations, text_of
from tests.fake_clients import FakeChat


async def test_a_question_is_stored_and_answered(tmp_path: Path) -> None:
    conversations = made_conversations(tmp_path, FakeChat("Two words."))
    events = await asked(conversations, "How are you?")
    first, last = events[0], events[-1]
    assert isinstance(first, Asked)
    assert isinstance(last, AnswerStored)
    assert text_of(events) == "Two words." == last.answer.text
    messages = await branch(conversations, first.conversation.id)
    assert [(m.role, m.text, m.status) for m in messages] == [
        ("user", "How are you?", "sent"),
        ("assistant", "Two words.", "done"),
    ]
    assert messages[1] == last.answer
    [summary] = await conversations.summaries(ListRequest(user=USER))
    assert summary.title == "How are you?"
    assert not summary.running
