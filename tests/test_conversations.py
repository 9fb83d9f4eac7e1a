"""Questions are stored, answers go on, branches are kept: the conductor on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from serve_apps.args import ConversationsArgs
from serve_apps.conversations import ConversationsConductor
from serve_apps.errors import EmptyInput, InputError, NotFound, RaydioError, StageUnavailable, TextTooLong
from serve_apps.wire import SourcesFound, TextDelta, TurnDone, TurnFailed, TurnRequest
from serve_apps.wire_conversations import (
    AnswerStored,
    Asked,
    AskRequest,
    ConversationChange,
    ConversationEvent,
    Joined,
    ListRequest,
    StoredMessage,
)
from tests.conversations import USER, HandChat, asked, begun, branch, made_conversations, text_of, until
from tests.fake_clients import FakeChat, FakeLlm
from tests.test_conversation_exchange import SOURCE


def conductor(database: Engine, chat: Any = None, **args: Any) -> Any:
    return made_conversations(Path("unused"), chat, database=database, **args)


def asked_of(events: list[ConversationEvent]) -> Asked:
    first = events[0]
    assert isinstance(first, Asked)
    return first


def stored_of(events: list[ConversationEvent]) -> StoredMessage:
    last = events[-1]
    assert isinstance(last, AnswerStored)
    return last.answer


async def rest(events: AsyncGenerator[ConversationEvent, None]) -> list[ConversationEvent]:
    return [event async for event in events]


async def test_a_question_is_stored_and_answered(database: Engine) -> None:
    conversations = conductor(database, FakeChat("Two words."))
    events = await asked(conversations, "How are you?")
    assert text_of(events) == "Two words."
    assert isinstance(events[-2], TurnDone)
    messages = await branch(conversations, asked_of(events).conversation.id)
    assert [(m.role, m.text, m.status) for m in messages] == [
        ("user", "How are you?", "sent"),
        ("assistant", "Two words.", "done"),
    ]
    answer = stored_of(events)
    assert messages == [asked_of(events).question, answer]
    assert (answer.n_tokens, answer.first_token_ms, answer.waterfall[0].name) == (2, 41.0, "llm queue")
    [summary] = await conversations.summaries(ListRequest(user=USER))
    assert (summary.title, summary.running) == ("How are you?", False)


async def test_titles_are_first_words(database: Engine) -> None:
    conversations = conductor(database, FakeChat("Yes."))
    long = "Tell me, please,\n about the history of glass from its beginning until now"
    title = asked_of(await asked(conversations, long)).conversation.title
    assert title == "Tell me, please, about the history of glass from its…"
    assert asked_of(await asked(conversations, "x" * 100)).conversation.title == "x" * 60 + "…"


async def test_the_model_reads_the_branch(database: Engine) -> None:
    chat = FakeChat()
    conversations = conductor(database, chat)
    first = asked_of(await asked(conversations, "One"))
    turn = TurnRequest(messages=(), temperature=0.1, system_prompt="Be kind.")
    await asked(conversations, "Two", conversation_id=first.conversation.id, turn=turn)
    sent = chat.requests[-1]
    assert [m.content for m in sent.messages] == ["One", "You said: One", "Two"]
    assert (sent.user, sent.temperature, sent.system_prompt) == (USER, 0.1, "Be kind.")
    assert sent.caller == first.conversation.id


async def test_an_edit_makes_a_branch_and_every_version_is_kept(database: Engine) -> None:
    chat = FakeChat()
    conversations = conductor(database, chat)
    first = asked_of(await asked(conversations, "One"))
    key = first.conversation.id
    await asked(conversations, "Two", conversation_id=key)
    edited = await asked(conversations, "Two, better", conversation_id=key, parent_id=first.answer_id)
    assert [m.content for m in chat.requests[-1].messages] == ["One", "You said: One", "Two, better"]
    question = asked_of(edited).question
    assert (question.branch, question.n_branches, question.siblings[1]) == (2, 2, question.id)
    back = await conversations.change(USER, key, ConversationChange(shown=question.siblings[0]))
    assert [m.text for m in back.messages] == ["One", "You said: One", "Two", "You said: Two"]
    start = await asked(conversations, "Uno", conversation_id=key, from_start=True)
    assert [m.content for m in chat.requests[-1].messages] == ["Uno"]
    root = asked_of(start).question
    assert root.n_branches == 2
    # Through the first version of the first question to the newest message below it.
    other = await conversations.change(USER, key, ConversationChange(shown=root.siblings[0]))
    assert [m.text for m in other.messages][2:] == ["Two, better", "You said: Two, better"]


async def test_answering_again_makes_versions_of_the_answer(database: Engine) -> None:
    conversations = conductor(database)
    first = asked_of(await asked(conversations, "One"))
    key = first.conversation.id
    again = await asked(conversations, "", conversation_id=key, answer_again=first.question.id)
    answer = stored_of(again)
    assert (answer.branch, answer.n_branches) == (2, 2)
    assert answer.siblings == (first.answer_id, answer.id)
    assert [m.id for m in await branch(conversations, key)] == [first.question.id, answer.id]
    with pytest.raises(NotFound):
        await asked(conversations, "", conversation_id=key, answer_again=first.answer_id)


async def test_answers_that_failed_without_a_word_are_not_read_by_the_model(database: Engine) -> None:
    failed = TurnFailed(stage="llm", code="stage_busy", message="Too many ask.")
    chat = FakeChat(" ", end=failed)
    conversations = conductor(database, chat)
    events = await asked(conversations, "One")
    answer = stored_of(events)
    assert (answer.status, answer.error, answer.error_code) == ("failed", "Too many ask.", "stage_busy")
    await asked(conversations, "Two", conversation_id=asked_of(events).conversation.id)
    assert [m.content for m in chat.requests[-1].messages] == ["One", "Two"]


@pytest.mark.parametrize(
    ("error", "code"),
    [(StageUnavailable("llm", "It restarts."), "stage_unavailable"), (ZeroDivisionError(), "internal_error")],
)
async def test_a_turn_that_raises_fails_its_answer(database: Engine, error: Exception, code: str) -> None:
    chat = HandChat()
    conversations = conductor(database, chat)
    chat.say("Some ")
    chat.put(error)
    answer = stored_of(await asked(conversations, "One"))
    assert (answer.status, answer.error_code, answer.text) == ("failed", code, "Some ")


async def test_empty_questions_are_refused(database: Engine) -> None:
    with pytest.raises(EmptyInput):
        await asked(conductor(database), " \n")
    with pytest.raises(TextTooLong):
        await asked(conductor(database), "x" * 500_001)


async def test_any_characters_are_stored(database: Engine) -> None:
    conversations = conductor(database)
    events = await asked(conversations, "nul \0, half \ud800, 😀 עברית")
    [question, _] = await branch(conversations, asked_of(events).conversation.id)
    assert question.text == "nul \ufffd, half ?, 😀 עברית"


async def test_another_users_conversations_do_not_exist(database: Engine) -> None:
    conversations = conductor(database)
    first = asked_of(await asked(conversations, "Mine"))
    key = first.conversation.id
    assert await conversations.summaries(ListRequest(user="other", search="Mine")) == []
    for call in (
        conversations.open("other", key),
        conversations.change("other", key, ConversationChange(title="Taken")),
        conversations.stop("other", key),
        conversations.feedback("other", first.answer_id, "up"),
        conversations.export("other", [key], "json"),
        asked(conversations, "Hello", user="other", conversation_id=key),
        asked(conversations, "", user="other", conversation_id=key, answer_again=first.question.id),
        rest(conversations.follow("other", key)),
    ):
        with pytest.raises(NotFound):
            await call
    assert await conversations.delete("other", [key]) == 0
    mine = asked_of(await asked(conversations, "Theirs", user="other"))
    with pytest.raises(NotFound):  # nor can their messages be reached through one's own conversation
        await asked(
            conversations, "x", user="other", conversation_id=mine.conversation.id, parent_id=first.answer_id
        )
    assert len(await branch(conversations, key)) == 2


async def test_one_answer_at_a_time(database: Engine) -> None:
    chat = HandChat()
    conversations = conductor(database, chat)
    first, events = await begun(conversations, "One")
    key = first.conversation.id
    [summary] = await conversations.summaries(ListRequest(user=USER))
    assert summary.running
    with pytest.raises(InputError, match="being written"):
        await asked(conversations, "Two", conversation_id=key)
    chat.say("Half an answer")
    assert await anext(events) == TextDelta(text="Half an answer")
    await conversations.stop(USER, key)
    assert chat.n_closed == 1
    answer = stored_of(await rest(events))
    assert (answer.status, answer.text) == ("stopped", "Half an answer")
    assert (await branch(conversations, key))[-1] == answer
    await conversations.stop(USER, key)  # nothing happens
    chat.end()
    await asked(conversations, "Two", conversation_id=key)


async def test_an_answer_that_nobody_watches_is_stopped(database: Engine) -> None:
    chat = HandChat()
    conversations = conductor(database, chat, unwatched_s=0.1)
    first, events = await begun(conversations, "One")
    chat.say("Half")
    await events.aclose()
    key = first.conversation.id

    async def stopped() -> bool:
        return (await branch(conversations, key))[-1].status == "stopped"

    await until(stopped)
    answer = (await branch(conversations, key))[-1]
    assert (answer.text, answer.notes) == ("Half", ("Stopped because nobody was watching.",))
    assert chat.n_closed == 1


async def test_an_answer_goes_on_while_somebody_follows(database: Engine) -> None:
    chat = HandChat()
    conversations = conductor(database, chat, unwatched_s=0.05)
    first, events = await begun(conversations, "One")
    follower = conversations.follow(USER, first.conversation.id)
    joined = await anext(follower)
    await events.aclose()
    await asyncio.sleep(0.2)  # far beyond unwatched_s: that nothing happens can only be waited for
    chat.say("All")
    chat.end()
    assert isinstance(joined, Joined)
    assert stored_of(await rest(follower)).text == "All"


async def test_the_caller_may_leave_while_the_question_is_stored(database: Engine) -> None:
    chat = HandChat()
    conversations = conductor(database, chat, unwatched_s=0.05)
    await conversations.folders(USER)
    call = asyncio.create_task(asked(conversations, "One"))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    async def stopped() -> bool:
        found = await conversations.summaries(ListRequest(user=USER))
        return bool(found) and not found[0].running

    await until(stopped)


async def test_whoever_joins_whenever_sees_the_whole(database: Engine) -> None:
    """In this process and from another one, slow or not."""
    rng = random.Random(7)  # noqa: S311
    words = [f"w{n} " for n in range(60)]
    for _ in range(4):
        chat = HandChat()
        writer, reader = conductor(database, chat), conductor(database)
        first, events = await begun(writer, "One")

        async def watched(here: Any, key: str) -> str:
            await asyncio.sleep(rng.random() * 0.25)
            async with aclosing(here.follow(USER, key)) as stream:
                said = ""
                async for event in stream:
                    if isinstance(event, Joined):
                        said = event.answer.text
                    elif isinstance(event, TextDelta):
                        said += event.text
                        await asyncio.sleep(rng.random() * 0.02)
                    elif isinstance(event, AnswerStored):
                        assert said == event.answer.text == "".join(words)
                        return said
            return "too late"

        watchers = [
            asyncio.create_task(watched(here, first.conversation.id)) for here in (writer, reader) * 4
        ]
        for word in words:
            chat.say(word)
            await asyncio.sleep(rng.random() * 0.01)
        chat.put(SourcesFound(sources=(SOURCE,)))
        chat.end()
        said = set(await asyncio.gather(*watchers))
        assert said <= {"".join(words), "too late"}
        assert "".join(words) in said
        assert text_of(await rest(events)) == "".join(words)


async def test_a_follower_sees_sources_and_failures_from_another_process(database: Engine) -> None:
    chat = HandChat()
    writer, reader = conductor(database, chat), conductor(database)
    first, events = await begun(writer, "One")
    follower = reader.follow(USER, first.conversation.id)
    assert isinstance(await anext(follower), Joined)
    chat.put(SourcesFound(sources=(SOURCE,)))
    assert await anext(follower) == SourcesFound(sources=(SOURCE,))
    chat.put(TurnFailed(stage="llm", code="stage_failed", message="Oh."))
    seen = await rest(follower)
    assert TurnFailed(stage="chat", code="stage_failed", message="Oh.") in seen
    assert stored_of(seen) == stored_of(await rest(events))


async def test_following_nothing_ends_at_once(database: Engine) -> None:
    conversations = conductor(database)
    first = asked_of(await asked(conversations, "One"))
    assert await rest(conversations.follow(USER, first.conversation.id)) == []


async def test_another_process_stops_and_deletes(database: Engine) -> None:
    chat = HandChat()
    writer, other = conductor(database, chat), conductor(database)
    first, events = await begun(writer, "One")
    chat.say("Half")
    await anext(events)
    with pytest.raises(InputError, match="being written"):
        await asked(other, "Two", conversation_id=first.conversation.id)
    await other.stop(USER, first.conversation.id)
    assert (await branch(other, first.conversation.id))[-1].status == "stopped"
    assert stored_of(await rest(events)).text == "Half"
    second, events = await begun(writer, "Again", conversation_id=first.conversation.id)
    follower = other.follow(USER, second.conversation.id)
    await anext(follower)
    assert await other.delete(USER, [first.conversation.id]) == 1
    for stream in (events, follower):
        with pytest.raises(NotFound):
            await rest(stream)
    assert chat.n_closed == 2


async def test_watching_from_another_process_counts(database: Engine) -> None:
    chat = HandChat()
    writer, other = conductor(database, chat, unwatched_s=0.3), conductor(database, unwatched_s=0.3)
    first, events = await begun(writer, "One")
    follower = other.follow(USER, first.conversation.id)
    await anext(follower)
    reading = asyncio.create_task(rest(follower))
    await events.aclose()
    await asyncio.sleep(0.9)  # three times unwatched_s: that nothing happens can only be waited for
    chat.say("Still here")
    chat.end()
    assert stored_of(await reading).text == "Still here"


async def test_deleting_ends_a_running_answer(database: Engine) -> None:
    chat = HandChat()
    conversations = conductor(database, chat)
    first, events = await begun(conversations, "One")
    assert await conversations.delete(USER, [first.conversation.id, "unknown"]) == 1
    with pytest.raises(NotFound):
        await rest(events)
    assert chat.n_closed == 1
    with pytest.raises(NotFound):
        await conversations.open(USER, first.conversation.id)
    assert await conversations.summaries(ListRequest(user=USER)) == []


async def test_dead_writers_answers_are_interrupted_and_live_ones_are_not(database: Engine) -> None:
    chat = HandChat()
    writer, other = conductor(database, chat), conductor(database)
    first, events = await begun(writer, "One")
    chat.say("Half")
    await anext(events)
    key = first.conversation.id

    async def saved() -> bool:
        return (await branch(other, key))[-1].text == "Half"

    await until(saved)
    assert (await branch(other, key))[-1].status == "writing"
    with database.begin() as connection:  # not heard of for long
        connection.execute(text("UPDATE conversation_writers SET alive_s = alive_s - 60"))
    assert (await branch(other, key))[-1].status == "interrupted"
    assert (await branch(other, key))[-1].text == "Half"
    # The writer that was taken for dead hears of it and stops.
    assert stored_of(await rest(events)).status == "interrupted"
    chat.end()
    await asked(writer, "Two", conversation_id=key)


async def test_a_dead_process_on_this_machine_is_known_at_once(database: Engine) -> None:
    chat = HandChat()
    conversations = conductor(database, chat)
    first, events = await begun(conversations, "One")
    with database.begin() as connection:
        connection.execute(text("UPDATE conversation_writers SET pid = 2147483646"))
    other = conductor(database, FakeChat("Two."))
    again = await asked(other, "Next", conversation_id=first.conversation.id)
    assert stored_of(again).text == "Two."
    assert stored_of(await rest(events)).status == "interrupted"


async def test_answers_name_their_model(database: Engine) -> None:
    conversations = ConversationsConductor(FakeChat("Hi."), ConversationsArgs(), database, llm=FakeLlm())  # type: ignore[arg-type]
    assert stored_of(await asked(conversations, "One")).model == "Fake llm 1M"


async def test_feedback_is_kept_and_taken_back(database: Engine) -> None:
    conversations = conductor(database)
    first = asked_of(await asked(conversations, "One"))
    judged = await conversations.feedback(USER, first.answer_id, "up", "Well said")
    assert (judged.thumb, judged.comment) == ("up", "Well said")
    assert (await branch(conversations, first.conversation.id))[-1] == judged
    assert (await conversations.feedback(USER, first.answer_id, None)).thumb is None
    with pytest.raises(NotFound):
        await conversations.feedback(USER, first.question.id, "up")


async def test_a_question_that_cannot_be_stored_is_not_asked(tmp_path: Path) -> None:
    chat = FakeChat()
    conversations = made_conversations(tmp_path, chat)
    first = asked_of(await asked(conversations, "One"))
    database: Engine = conversations._database  # type: ignore[assignment]
    with database.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE messages RENAME TO elsewhere")
        connection.commit()
    for key in (None, first.conversation.id):
        with pytest.raises(StageUnavailable) as refused:
            await asked(conversations, "Two", conversation_id=key)
        assert refused.value.stage == "conversations"
        assert refused.value.hint
    assert len(chat.requests) == 1


async def test_a_database_that_cannot_be_opened_is_unavailable_until_it_can(raydio_home: Path) -> None:
    conversations = ConversationsConductor(FakeChat("Hi."), ConversationsArgs())  # type: ignore[arg-type]
    in_the_way = raydio_home / "raydio.db"
    in_the_way.mkdir(parents=True)
    with pytest.raises(StageUnavailable, match="cannot be reached"):
        await asked(conversations, "One")
    in_the_way.rmdir()
    assert stored_of(await asked(conversations, "One")).text == "Hi."
    assert in_the_way.stat().st_mode & 0o777 == 0o600


async def test_lost_connections_are_made_again(database: Engine) -> None:
    if database.dialect.name == "sqlite":
        pytest.skip("a file has no connections to lose")
    conversations = conductor(database, FakeChat("Hi."))
    await asked(conversations, "One")
    with database.connect() as connection:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        connection.execute(text(f"{others} AND pid <> pg_backend_pid()"))
    assert stored_of(await asked(conversations, "Two")).text == "Hi."


async def test_an_end_waits_for_the_database(tmp_path: Path) -> None:
    chat = HandChat()
    conversations = made_conversations(tmp_path, chat)
    first, events = await begun(conversations, "One")
    database: Engine = conversations._database  # type: ignore[assignment]
    with database.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE messages RENAME TO elsewhere")
        connection.commit()
    chat.say("Whole")
    chat.end()
    with pytest.raises(RaydioError):
        await rest(events)
    with database.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO messages")
        connection.commit()

    async def done() -> bool:
        return (await branch(conversations, first.conversation.id))[-1].status == "done"

    await until(done)
    assert (await branch(conversations, first.conversation.id))[-1].text == "Whole"


async def test_ask_request_of_nobodys_conversation(database: Engine) -> None:
    with pytest.raises(NotFound):
        await anext(conductor(database).ask(AskRequest(user=USER, text="x", conversation_id="0" * 32)))
