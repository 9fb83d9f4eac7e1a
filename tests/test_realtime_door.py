"""The door of live sessions: coming in, leaving, coming back, and whatever a broken client may send."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.fake_clients import FakeVoiceChat, fake_clients
from tests.live_door import TOKEN, WAIT_S, Served, calling, guarded_door, served_door, silence

MIB = 2**20


@pytest.fixture
def served() -> Iterator[Served]:
    with served_door() as served:
        yield served


def memory_mib() -> float:
    gc.collect()
    return psutil.Process().memory_info().rss / MIB


async def check_unharmed(caller: Any) -> None:
    """A session still answers."""
    await caller.send("session.update", session={"instructions": "Be kind."}, event_id="still-here")
    assert (await caller.next("session.updated"))["session"]["instructions"] == "Be kind."


# ---- sessions --------------------------------------------------------------------------------------


async def test_a_session_introduces_itself(served: Served) -> None:
    async with calling(served, "?model=whatever") as caller:
        created, ours = await caller.next(), await caller.next()
        assert (created["type"], created["event_id"]) == ("session.created", "event_1")
        assert created["session"]["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24000}
        assert (ours["type"], ours["event_id"]) == ("raydio.session", "event_2")
        assert (ours["resumed"], ours["resume_s"]) == (False, 30.0)


async def test_two_tabs_are_two_sessions(served: Served) -> None:
    async with calling(served) as one, calling(served) as two:
        ids = [(await caller.session())["session_id"] for caller in (one, two)]
        assert ids[0] != ids[1]
        assert served.n_sessions == 2
        await one.send("session.update", session={"instructions": "Only here."})
        await one.next("session.updated")
        await check_unharmed(two)


async def test_a_client_that_closes_ends_its_session(served: Served) -> None:
    async with calling(served) as caller:
        await caller.session()
    await served.until(lambda served: served.n_sessions == 0)


async def test_a_closed_tab_may_come_back(served: Served) -> None:
    async with calling(served) as caller:
        session_id = (await caller.session())["session_id"]
        await caller.socket.close(1001)
    async with calling(served, f"?resume={session_id}") as caller:
        assert (await caller.session())["resumed"]


async def test_there_are_only_so_many_sessions() -> None:
    with served_door(max_sessions=1) as served:
        async with calling(served) as first:
            await first.session()
            async with calling(served) as second:
                code, reason = await second.closed()
                assert code == 4429
                assert "too many" in reason
            await check_unharmed(first)
        await served.until(lambda served: served.n_sessions == 0)
        async with calling(served) as third:
            await third.session()


# ---- drop and resume -------------------------------------------------------------------------------


async def test_a_lost_socket_comes_back_in_the_middle_of_an_answer() -> None:
    with served_door(fake_clients(voice=FakeVoiceChat(pause_s=0.1))) as served:
        async with calling(served) as before:
            session_id = (await before.session())["session_id"]
            await before.say("Go on")
            seen = await before.next("response.output_audio.delta")
            before.cut()
        async with calling(served, f"?resume={session_id}&after={seen['event_id']}") as after:
            await after.next("response.done")
            numbers = [int(event["event_id"].removeprefix("event_")) for event in after.events]
            first = int(seen["event_id"].removeprefix("event_")) + 1
            assert numbers == list(range(first, first + len(numbers)))
            assert [e["resumed"] for e in after.events if e["type"] == "raydio.session"] == [True]
            assert after.events[-1]["response"]["status"] == "completed"
            assert served.n_sessions == 1


async def test_what_was_sent_but_never_arrived_is_sent_again(served: Served) -> None:
    async with calling(served) as before:
        greeting = await before.session()
        await before.say("Go on")
        await before.next("response.done")
        before.cut()
    async with calling(served, f"?resume={greeting['session_id']}&after={greeting['event_id']}") as after:
        await after.next("response.done")
    assert after.events[0]["event_id"] == "event_3"
    told = [event for event in before.events if int(event["event_id"][6:]) > 2]
    assert [event for event in after.events if event["type"] != "raydio.session"][: len(told)] == told


async def test_a_session_waits_only_so_long() -> None:
    with served_door(resume_s=0.1) as served:
        async with calling(served) as caller:
            session_id = (await caller.session())["session_id"]
            caller.cut()
        await served.until(lambda served: served.n_sessions == 0)
        async with calling(served, f"?resume={session_id}") as late:
            assert await late.closed() == (4404, "This session has ended. Start a new one.")


@pytest.mark.parametrize("query", ["?resume=", "?resume=sess_unknown", "?resume=%00%ff&after=event_1"])
async def test_an_unknown_session_cannot_be_resumed(served: Served, query: str) -> None:
    async with calling(served, query) as caller:
        assert (await caller.closed())[0] == 4404
    assert served.n_sessions == 0


async def test_an_event_that_never_was_cannot_be_resumed_from(served: Served) -> None:
    async with calling(served) as caller:
        session_id = (await caller.session())["session_id"]
        async with calling(served, f"?resume={session_id}&after=event_900") as other:
            assert (await other.closed())[0] == 4404


async def test_a_second_socket_takes_a_session_over(served: Served) -> None:
    async with calling(served) as first:
        session_id = (await first.session())["session_id"]
        async with calling(served, f"?resume={session_id}") as second:
            assert (await second.session())["resumed"]
            assert (await first.closed())[0] == 4409
            await check_unharmed(second)
            assert served.n_sessions == 1
        await served.until(lambda served: served.n_sessions == 0)


# ---- who may come in -------------------------------------------------------------------------------


@pytest.fixture
def guarded() -> Iterator[str]:
    with guarded_door() as address:
        yield f"{address.replace('http', 'ws')}/v1/realtime"


@pytest.mark.parametrize(
    "options",
    [
        {"additional_headers": {"authorization": f"Bearer {TOKEN}"}},
        {"subprotocols": ["realtime", f"openai-insecure-api-key.{TOKEN}"]},
    ],
    ids=["header", "sub-protocol"],
)
async def test_the_token_opens_the_door(guarded: str, options: dict[str, Any]) -> None:
    async with connect(guarded, **options) as socket:
        assert json.loads(await socket.recv())["type"] == "session.created"
        assert socket.subprotocol == ("realtime" if "subprotocols" in options else None)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"additional_headers": {"authorization": "Bearer wrong"}},
        {"subprotocols": ["realtime", "openai-insecure-api-key.wrong"]},
        {"subprotocols": ["realtime", TOKEN]},
        {"additional_headers": {"authorization": f"Bearer {TOKEN}"}, "origin": "https://evil.example"},
    ],
    ids=["nothing", "wrong token", "wrong sub-protocol", "bare token", "another site's page"],
)
async def test_nobody_else_comes_in(guarded: str, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await connect(guarded, **options)
    assert caught.value.response.status_code == (403 if "origin" in options else 401)


# ---- broken clients --------------------------------------------------------------------------------


WRONG_RATE = {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}}}
BAD_EVENTS = {
    "invalid JSON": ("{nonsense", "invalid_event"),
    "no object": ("[1, 2]", "invalid_event"),
    "binary": (b"\x00\x01", "invalid_event"),
    "unknown type": ({"type": "session.destroy"}, "invalid_event"),
    "wrong field": ({"type": "response.cancel", "respnse_id": "x"}, "invalid_event"),
    "wrong rate": ({"type": "session.update", "session": WRONG_RATE}, "invalid_event"),
    "bad base64": ({"type": "input_audio_buffer.append", "audio": "*"}, "invalid_event"),
    "odd byte count": ({"type": "input_audio_buffer.append", "audio": "AAAA"}, "audio_unreadable"),
    "unknown item": ({"type": "conversation.item.delete", "item_id": "item_x"}, "unknown_name"),
    "nothing to cancel": ({"type": "response.cancel"}, "invalid_input"),
}


@pytest.mark.parametrize("name", BAD_EVENTS)
async def test_a_bad_event_is_one_error_and_no_harm(served: Served, name: str) -> None:
    sent, code = BAD_EVENTS[name]
    async with calling(served) as caller:
        is_json = isinstance(sent, dict)
        await caller.socket.send(json.dumps({**sent, "event_id": "mine"}) if is_json else sent)
        error = (await caller.next("error"))["error"]
        assert error["code"] == code
        assert error["event_id"] == ("mine" if is_json else None)
        await check_unharmed(caller)
        assert len(caller.errors()) == 1


async def flood(caller: Any, message: str, n: int) -> tuple[int, str]:
    """Send as fast as possible until the server hangs up."""
    try:
        for _ in range(n):
            await caller.socket.send(message)
    except ConnectionClosed:
        pass
    return await caller.closed()


async def test_text_that_is_no_text_is_hung_up_on(served: Served) -> None:
    async with calling(served) as caller, calling(served) as neighbour:
        await caller.socket.send(b'{"type": "\xff\xfe"}', text=True)
        assert (await caller.closed())[0] == 1007
        await check_unharmed(neighbour)


async def test_frames_of_ten_megabytes_are_refused_and_leave_nothing_behind(served: Served) -> None:
    frame = json.dumps({"type": "input_audio_buffer.append", "audio": "A" * 10 * MIB})
    async with calling(served, compression=None) as caller, calling(served) as neighbour:
        for n in range(30):
            await caller.socket.send(frame)
            await caller.next("error")
            if n == 9:  # what the allocator keeps for such frames, it has now
                before_mib = memory_mib()
        assert {error["code"] for error in caller.errors()} == {"event_too_large"}
        assert memory_mib() - before_mib < 50, "of 200 MiB that were sent"
        await check_unharmed(caller)
        await check_unharmed(neighbour)


async def test_a_frame_over_the_servers_own_limit_is_hung_up_on(served: Served) -> None:
    async with calling(served, compression=None) as caller, calling(served) as neighbour:
        assert (await flood(caller, "x" * 17 * MIB, 1))[0] == 1009
        await check_unharmed(neighbour)


async def test_a_flood_of_events_is_told_off_and_hung_up_on() -> None:
    with served_door(max_events_per_s=20, max_bad_events=10) as served:
        async with calling(served) as caller, calling(served) as neighbour:
            message = json.dumps({"type": "input_audio_buffer.clear"})
            assert (await flood(caller, message, 5000))[0] == 4429
            assert {error["code"] for error in caller.errors()} == {"rate_limit_exceeded"}
            assert len(caller.errors()) <= 11
            await check_unharmed(neighbour)
            await served.until(lambda served: served.n_sessions == 1)


async def test_a_flood_of_nonsense_is_hung_up_on() -> None:
    with served_door(max_bad_events=10) as served:
        async with calling(served) as caller, calling(served) as neighbour:
            assert (await flood(caller, "nonsense", 5000))[0] == 4429
            await check_unharmed(neighbour)


async def test_ten_minutes_of_silence_at_once_are_too_fast(served: Served) -> None:
    message = json.dumps({"type": "input_audio_buffer.append", "audio": silence(1)})
    async with calling(served, compression=None) as caller, calling(served) as neighbour:
        assert (await flood(caller, message, 600))[0] == 4429
        assert {error["code"] for error in caller.errors()} == {"rate_limit_exceeded"}
        await check_unharmed(neighbour)


async def test_ten_minutes_of_silence_are_heard_and_forgotten() -> None:
    message = json.dumps({"type": "input_audio_buffer.append", "audio": silence(1)})
    with served_door(max_audio_speed=1000, audio_burst_s=1000) as served:
        async with calling(served, compression=None) as caller, calling(served) as neighbour:
            await caller.session()
            for _ in range(120):
                await caller.socket.send(message)
            await check_unharmed(caller)
            before_mib = memory_mib()
            for _ in range(600):
                await caller.socket.send(message)
            await check_unharmed(caller)
            assert [event["type"] for event in caller.events[2:]] == ["session.updated"] * 2
            assert memory_mib() - before_mib < 15
            await check_unharmed(neighbour)


async def test_a_client_that_never_reads_is_let_go() -> None:
    with served_door(send_timeout_s=0.3, resume_s=0.1) as served:
        async with calling(served) as neighbour:
            await neighbour.session()
            n_tasks, before_mib = served.n_tasks, memory_mib()
            async with calling(served, compression=None, max_queue=1) as deaf:
                text = "x" * MIB
                content = [{"type": "input_text", "text": text}]
                await deaf.send(
                    "conversation.item.create",
                    item={"id": "big", "type": "message", "role": "user", "content": content},
                )
                for _ in range(20):
                    await deaf.send("conversation.item.retrieve", item_id="big")
                await served.until(lambda served: served.n_sessions == 1)
                await served.until(lambda served: served.n_tasks <= n_tasks)
                await check_unharmed(neighbour)
                deaf.cut()
                del content, text
            assert memory_mib() - before_mib < 40


async def test_a_client_that_asks_for_more_than_can_wait_is_let_go() -> None:
    with served_door(send_timeout_s=1.0) as served:
        async with calling(served, compression=None, max_queue=1) as deaf:
            content = [{"type": "input_text", "text": "x" * MIB}]
            await deaf.send(
                "conversation.item.create",
                item={"id": "big", "type": "message", "role": "user", "content": content},
            )
            for _ in range(60):
                await deaf.send("conversation.item.retrieve", item_id="big")
            await served.until(lambda served: served.n_sessions == 0)
            deaf.cut()


async def test_fifty_clients_that_come_and_go_leave_nothing_behind() -> None:
    with served_door(resume_s=0.05) as served:
        async with calling(served) as caller:
            await caller.session()
        await served.until(lambda served: served.n_sessions == 0)
        n_tasks = served.n_tasks

        async def visit(n: int) -> None:
            async with calling(served) as caller:
                await caller.session()
                if n % 2:
                    await caller.say("Hello")
                    await caller.next("response.output_audio.delta")
                if n % 3:
                    caller.cut()

        async with asyncio.timeout(WAIT_S):
            await asyncio.gather(*(visit(n) for n in range(50)))
        await served.until(lambda served: served.n_sessions == 0)
        await served.until(lambda served: served.n_tasks <= n_tasks)
