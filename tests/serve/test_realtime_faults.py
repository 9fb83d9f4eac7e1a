"""Live sessions on real Serve with real ears and a real voice: what dies, what is lost, what echoes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from serve_apps.access import token
from tests.dialogue import (
    FIRST,
    FIRST_ANSWER,
    INTERRUPTION,
    LAST_ANSWER,
    SECOND,
    SECOND_ANSWER,
    Utterance,
    say,
    utter,
    word_errors,
)
from tests.family import running_with
from tests.live import applications
from tests.realtime_client import RATE_HZ, Event, Realtime, realtime
from tests.serve.conftest import Deploy
from tests.serve.engines import told
from tests.serve.test_clients import same_home

__all__ = ["same_home"]
pytestmark = pytest.mark.asyncio(loop_scope="module")
SEMANTIC = {"input": {"turn_detection": {"type": "semantic_vad"}}}
HEARD = "conversation.item.input_audio_transcription.completed"
NOT_HEARD = "conversation.item.input_audio_transcription.failed"
RESTART_S = 60.0
ECHO_GAIN, ECHO_DELAY_S = 0.25, 0.12
"""The answer comes back 12 dB softer, after the way through sound card and room."""


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("llm") / "events.log"


@pytest.fixture(scope="module")
def url(deploy: Deploy, log: Path) -> str:
    return deploy(applications(log, "home"))


async def ask(client: Realtime, utterance: Utterance) -> None:
    """Say it without its pauses: what is sent at once leaves no time to think in them."""
    await client.say(say(utterance.text, RATE_HZ))


async def answered(client: Realtime, timeout_s: float = RESTART_S) -> str:
    """Wait for the next response; what it said."""
    done = (await client.expect("response.done", timeout_s=timeout_s))["response"]
    assert done["status"] == "completed", done
    return str(done["output"][0]["content"][0]["transcript"])


def kill(stage: str) -> None:
    """Kill the stage's replica, as running out of memory does."""
    (replica,) = running_with(f"ray::ServeReplica:{stage}:")
    replica.kill()
    replica.wait(5)


def for_people(message: str) -> bool:
    """A sentence, and no name of a class."""
    return message[0].isupper() and message.rstrip().endswith(".") and "Error" not in message


async def test_a_killed_llm_costs_its_turn_only(url: str) -> None:
    async with realtime(url, token(), audio=SEMANTIC) as client:
        await ask(client, SECOND)
        await client.expect("response.output_audio.delta")
        await asyncio.to_thread(kill, "llm")
        done = (await client.expect("response.done"))["response"]
        assert done["status"] == "failed"
        assert for_people(done["status_details"]["error"]["message"]), done
        await ask(client, FIRST)
        assert await answered(client) == FIRST_ANSWER


async def test_a_killed_tts_costs_its_turn_only(url: str) -> None:
    async with realtime(url, token(), audio=SEMANTIC) as client:
        await ask(client, SECOND)
        await client.expect("response.output_audio.delta")
        await asyncio.to_thread(kill, "tts")
        done = (await client.expect("response.done"))["response"]
        turn = await client.expect("raydio.turn")
        error = done["status_details"].get("error")
        said = [*turn["notes"], *([error["message"]] if error else [])]
        assert all(for_people(words) for words in said), said
        # A replica that is replaced before the next clause is due costs nothing: that one is asked for again.
        assert said or spoken(client) == SECOND_ANSWER
        n_sounds = len(client.all("response.output_audio.delta"))
        await ask(client, FIRST)
        assert await answered(client) == FIRST_ANSWER
        assert len(client.all("response.output_audio.delta")) > n_sounds


def spoken(client: Realtime) -> str:
    """The clauses of which there was sound to the end."""
    clauses = {c["clause"]: c["text"] for c in client.all("raydio.captions") if c["final"]}
    return "".join(clauses.values()).strip()


async def test_a_killed_stt_costs_its_turn_only(url: str) -> None:
    speech = say(SECOND.text, RATE_HZ)
    half = len(speech) // 2
    async with realtime(url, token(), audio=SEMANTIC) as client:
        await client.say(speech[:half], quiet_s=0)
        await client.expect("input_audio_buffer.speech_started")
        await asyncio.to_thread(kill, "stt")
        await client.say(speech[half:])
        heard = await client.expect(HEARD, NOT_HEARD, timeout_s=RESTART_S)
        if heard["type"] == NOT_HEARD:
            assert for_people(heard["error"]["message"]), heard
        else:
            await client.expect("response.done", timeout_s=RESTART_S)
        await ask(client, FIRST)
        assert (await client.expect(HEARD, timeout_s=RESTART_S))["transcript"] == FIRST.text
        assert await answered(client) == FIRST_ANSWER


async def test_a_lost_socket_takes_up_the_same_conversation(url: str, log: Path) -> None:
    async with realtime(url, token(), audio=SEMANTIC) as client:
        await ask(client, FIRST)
        created = await client.expect("response.created")
        await client.lose()
        missing = f"?resume={client.session_id}&after={client.last_event_id}"
        async with realtime(url, token(), missing) as again:
            back = await again.expect("raydio.session")
            done = await again.expect("response.done")
            assert (back["resumed"], back["session_id"]) == (True, client.session_id)
            assert done["response"]["id"] == created["response"]["id"]
            assert_one_stream([*client.events, *again.events])
            await play_out(again, done["response"]["output"][0]["id"])
            await ask(again, INTERRUPTION)
            assert await answered(again) == LAST_ANSWER
    assert asked(log)[-1] == [FIRST.text, FIRST_ANSWER, INTERRUPTION.text]


async def play_out(client: Realtime, item_id: str) -> None:
    """Say that the whole answer was heard."""
    await client.send("raydio.playback", item_id=item_id, played_ms=60_000, playing=False)


def assert_one_stream(events: list[Event]) -> None:
    """Nothing is missing at the seam and nothing comes twice."""
    ids = [event["event_id"] for event in events]
    assert len(set(ids)) == len(ids)
    numbers = [int(event_id.rpartition("_")[2]) for event_id in ids]
    assert sorted(numbers) == list(range(min(numbers), max(numbers) + 1))


def asked(log: Path) -> list[list[str]]:
    """What the model was told at each request, without the instructions."""
    started = [line["messages"] for line in told(log) if line["event"] == "started"]
    return [[m["content"] for m in messages if m["role"] != "system"] for messages in started]


@pytest.mark.parametrize("query", ["?resume=sess_0000", "?resume=sess_0000&after=event_3"])
async def test_a_session_that_has_ended_is_not_taken_up(url: str, query: str) -> None:
    async with realtime(url, token(), query) as client:
        with pytest.raises(AssertionError, match="closed"):
            await client.expect("raydio.session")
        assert client.closed is not None
        assert client.closed[0] == 4404


async def test_two_sessions_do_not_mix(url: str, log: Path) -> None:
    n_before = len(asked(log))
    async with (
        realtime(url, token(), audio=SEMANTIC) as one,
        realtime(url, token(), audio=SEMANTIC) as other,
    ):
        await asyncio.gather(ask(one, FIRST), ask(other, INTERRUPTION))
        assert await asyncio.gather(answered(one), answered(other)) == [FIRST_ANSWER, LAST_ANSWER]
        assert [event["transcript"] for event in one.all(HEARD)] == [FIRST.text]
        assert [event["transcript"] for event in other.all(HEARD)] == [INTERRUPTION.text]
        assert ids(one).isdisjoint(ids(other))
    assert {tuple(texts) for texts in asked(log)[n_before:]} == {(FIRST.text,), (INTERRUPTION.text,)}


def ids(client: Realtime) -> set[Any]:
    """Of the session, its items and its responses."""
    named = {event.get("item_id") or event.get("response_id") for event in client.events}
    return (named | {client.session_id}) - {None}


async def test_its_own_echo_does_not_interrupt_it_and_a_person_does(url: str, log: Path) -> None:
    async with (
        realtime(url, token(), audio=SEMANTIC) as client,
        client.room(echo_gain=ECHO_GAIN, echo_delay_s=ECHO_DELAY_S) as room,
    ):
        await room.say(utter(SECOND, RATE_HZ))
        await room.listen(lambda speaker: speaker.played_ms > 8_000)
        assert len(client.all("input_audio_buffer.speech_started")) == 1
        assert len(client.all("input_audio_buffer.committed")) == 1
        assert word_errors(client.all(HEARD)[0]["transcript"], SECOND.text) == 0

        await room.say(say("Yeah.", RATE_HZ))
        await client.expect("raydio.barge_in.dismissed")
        assert client.speaker.playing

        await room.say(utter(INTERRUPTION, RATE_HZ))
        await client.expect("input_audio_buffer.speech_started")
        cut = (await client.expect("response.done"))["response"]
        assert (cut["status"], cut["status_details"]["reason"]) == ("cancelled", "turn_detected")
        await client.expect("conversation.item.truncated")
        await client.expect("response.done")
        await room.listen(lambda speaker: not speaker.playing)
        assert client.speaker.n_underruns == 0
    heard = asked(log)[-1]
    (stopped_ms,) = client.speaker.stopped_ms.values()
    assert heard[1] == words_played(client, cut["output"][0]["id"], stopped_ms)
    stopped = [line for line in told(log) if line["event"] == "stopped" and "London" in line["question"]]
    assert stopped[-1]["n_words"] < len(SECOND_ANSWER.split())


def words_played(client: Realtime, item_id: str, played_ms: float) -> str:
    """As the captions tell it: the words that had begun."""
    captions = [e for e in client.all("raydio.captions") if e["item_id"] == item_id]
    latest = {event["clause"]: event["words"] for event in captions}
    words = [word for clause in sorted(latest) for word in latest[clause]]
    return " ".join(word["text"] for word in words if word["start_ms"] < played_ms)
