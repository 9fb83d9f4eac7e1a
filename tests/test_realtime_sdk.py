"""Whole conversations by OpenAI's own client, unchanged; everything it is told fits OpenAI's own types."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import numpy as np
import pytest
from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from serve_apps.args import ConductorArgs
from serve_apps.chat import ChatConductor
from serve_apps.contracts import Clients
from serve_apps.errors import StageUnavailable
from serve_apps.media import read
from serve_apps.samples import to_int16
from serve_apps.settings import ASSETS
from serve_apps.voice import VoiceConductor
from serve_apps.wire import Audio, Source, SourcesFound, SpeakRequest, TurnEvent, TurnRequest
from tests.fake_clients import TRANSCRIPT, FakeChat, FakeStt, FakeTts, fake_clients
from tests.live_door import END, TOKEN, TURN, guarded_door

WAIT_S = 30
PIECE_S = 0.1
PCM_RATE_HZ = 24_000
LONG = "one two three four five six seven eight nine ten. " * 20
PUSH_TO_TALK: Any = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
TEXT: Any = {"output_modalities": ["text"]}
EVENTS: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)


def with_conductors(**parts: Any) -> Clients:
    """Fake engines led by the real conductors."""
    clients = fake_clients(**parts)
    chat = ChatConductor(clients.llm, ConductorArgs())
    voice = VoiceConductor(clients.stt, chat, clients.tts, ConductorArgs())
    return fake_clients(**{**parts, "chat": chat, "voice": voice})


@pytest.fixture
def stt() -> FakeStt:
    return FakeStt()


@pytest.fixture
def address(stt: FakeStt) -> Iterator[str]:
    with guarded_door(with_conductors(stt=stt)) as address:
        yield address


class Talk:
    """The SDK's connection; each event is checked against its type, and kept."""

    def __init__(self, connection: AsyncRealtimeConnection) -> None:
        self.connection = connection
        self.events: list[Any] = []

    async def next(self, *types: str) -> Any:
        """The next event of some types; an error is none that may be passed over."""
        async with asyncio.timeout(WAIT_S):
            while (event := await self._event()).type not in types:
                assert event.type != "error", event
        return event

    async def _event(self) -> Any:
        message = await self.connection.recv_bytes()
        if not json.loads(message)["type"].startswith("raydio."):
            EVENTS.validate_json(message, strict=True)
        self.events.append(self.connection.parse_event(message))
        return self.events[-1]

    def types(self) -> list[str]:
        """Of all events so far, repeats in a row as one, without ours."""
        types = [event.type for event in self.events if not event.type.startswith("raydio.")]
        return [type_ for type_, before in zip(types, ["", *types], strict=False) if type_ != before]

    def all(self, type_: str) -> list[Any]:
        return [event for event in self.events if event.type == type_]

    def sound(self, item_id: str) -> bytes:
        deltas = [e.delta for e in self.all("response.output_audio.delta") if e.item_id == item_id]
        return b"".join(map(base64.b64decode, deltas))

    async def write(self, text: str, item_id: str | None = None) -> None:
        """Add a message of the user's."""
        item: Any = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        await self.connection.conversation.item.create(item={**item, **({"id": item_id} if item_id else {})})

    async def speak(self, sound: bytes) -> None:
        """Send sound in small pieces."""
        n_bytes = round(2 * PIECE_S * PCM_RATE_HZ)
        for start in range(0, len(sound), n_bytes):
            piece = base64.b64encode(sound[start : start + n_bytes]).decode()
            await self.connection.input_audio_buffer.append(audio=piece)


@asynccontextmanager
async def talking(address: str, **query: str) -> AsyncIterator[Talk]:
    async with (
        AsyncOpenAI(base_url=f"{address}/v1", api_key=TOKEN, max_retries=0) as client,
        client.realtime.connect(model="gpt-realtime", extra_query=query) as connection,
    ):
        yield Talk(connection)


@cache
def question(quiet_s: float = 1.5) -> bytes:
    """Somebody asking, and silence after it, as PCM16."""
    asked = read(ASSETS / "samples" / "question.ogg", PCM_RATE_HZ).samples
    return to_int16(np.concatenate([asked, np.zeros(round(quiet_s * PCM_RATE_HZ), np.float32)])).tobytes()


# ---- turns -----------------------------------------------------------------------------------------


async def test_a_question_is_heard_and_answered(address: str) -> None:
    async with talking(address) as talk:
        await talk.speak(question())
        done = await talk.next("response.done")
        types = talk.types()
        between = [type_ for type_ in types[1 + len(TURN) :] if type_.endswith(".delta")]
        assert types == ["session.created", *TURN, *between, *END]
        assert done.response.status == "completed"
        assert done.response.usage.output_tokens > 0
        assert done.response.usage.total_tokens > done.response.usage.output_tokens


async def test_when_somebody_spoke(address: str) -> None:
    async with talking(address) as talk:
        await talk.speak(question())
        started = await talk.next("input_audio_buffer.speech_started")
        stopped = await talk.next("input_audio_buffer.speech_stopped")
        committed = await talk.next("input_audio_buffer.committed")
        assert 0 <= started.audio_start_ms < 1000
        assert started.audio_start_ms < stopped.audio_end_ms <= 1000 * len(question()) / 2 / PCM_RATE_HZ
        assert started.item_id == stopped.item_id == committed.item_id
        await talk.next("response.done")


async def test_what_was_said_is_written_down(address: str) -> None:
    async with talking(address) as talk:
        await talk.speak(question())
        completed = await talk.next("conversation.item.input_audio_transcription.completed")
        deltas = talk.all("conversation.item.input_audio_transcription.delta")
        assert completed.transcript == "".join(delta.delta for delta in deltas) == TRANSCRIPT
        assert completed.usage.seconds > 0.5
        await talk.next("response.done")


async def test_speech_that_cannot_be_written_down_says_so(address: str, stt: FakeStt) -> None:
    async with talking(address) as talk:
        stt.down = StageUnavailable("stt", "The stt stage is restarting.", "Try again.", 5.0)
        await talk.speak(question())
        failed = await talk.next("conversation.item.input_audio_transcription.failed")
        assert failed.error.code == "stage_unavailable"
        stt.down = None
        await talk.speak(question())
        assert (await talk.next("response.done")).response.status == "completed"


async def test_the_answer_is_spoken_and_its_words_are_told(address: str) -> None:
    async with talking(address) as talk:
        await talk.write("Say it back to me")
        await talk.connection.response.create()
        said = await talk.next("response.output_audio_transcript.done")
        await talk.next("response.done")
        deltas = talk.all("response.output_audio_transcript.delta")
        assert said.transcript == "".join(delta.delta for delta in deltas)
        assert "Say it back to me" in said.transcript
        seconds = len(talk.sound(said.item_id)) / 2 / PCM_RATE_HZ
        assert seconds == pytest.approx(0.05 * len(said.transcript.split()), rel=0.2)


async def test_an_answer_in_writing(address: str) -> None:
    async with talking(address) as talk:
        await talk.connection.session.update(session={"type": "realtime", **TEXT})
        await talk.next("session.updated")
        await talk.write("In writing please")
        await talk.connection.response.create()
        written = await talk.next("response.output_text.done")
        done = await talk.next("response.done")
        deltas = talk.all("response.output_text.delta")
        assert written.text == "".join(delta.delta for delta in deltas)
        assert done.response.output[0].content[0].text == written.text
        assert not talk.all("response.output_audio.delta")


async def test_push_to_talk(address: str) -> None:
    async with talking(address) as talk:
        await talk.connection.session.update(session=PUSH_TO_TALK)
        await talk.speak(question())
        await talk.connection.input_audio_buffer.commit()
        await talk.connection.response.create()
        assert (await talk.next("response.done")).response.status == "completed"
        assert not talk.all("input_audio_buffer.speech_started")
        assert talk.types().index("input_audio_buffer.committed") < talk.types().index("response.created")


@pytest.mark.parametrize("format_", ["audio/pcmu", "audio/pcma"])
async def test_g711_in_and_out(address: str, format_: str) -> None:
    sound: Any = {"format": {"type": format_}}
    async with talking(address) as talk:
        await talk.connection.session.update(
            session={
                "type": "realtime",
                "audio": {"input": {**sound, "turn_detection": None}, "output": sound},
            }
        )
        assert (await talk.next("session.updated")).session.audio.output.format.type == format_
        quiet = b"\xff" if format_ == "audio/pcmu" else b"\xd5"
        await talk.connection.input_audio_buffer.append(
            audio=base64.b64encode(quiet * 7000 + b"\x00\x80" * 500).decode()
        )
        await talk.connection.input_audio_buffer.commit()
        await talk.connection.response.create()
        done = await talk.next("response.done")
        item = done.response.output[0]
        seconds = len(talk.sound(item.id)) / 8000
        assert seconds == pytest.approx(0.05 * len(item.content[0].transcript.split()), rel=0.2)


class SlowTts(FakeTts):
    """Takes its time over every word."""

    async def stream_speak(self, request: SpeakRequest) -> AsyncIterator[Audio]:
        async for audio in super().stream_speak(request):
            await asyncio.sleep(0.03)
            yield audio


async def test_somebody_who_speaks_interrupts() -> None:
    any_speech: Any = {"type": "realtime", "raydio": {"barge_in": {"mode": "speech"}}}
    with guarded_door(with_conductors(tts=SlowTts())) as address:
        async with talking(address) as talk:
            await talk.connection.session.update(session=any_speech)
            await talk.write(LONG)
            await talk.connection.response.create()
            item_id = (await talk.next("response.output_audio.delta")).item_id
            await talk.speak(question())
            await talk.next("input_audio_buffer.speech_started")
            done = await talk.next("response.done")
            assert done.response.status == "cancelled"
            assert done.response.status_details.reason == "turn_detected"
            await talk.connection.conversation.item.truncate(
                item_id=item_id, content_index=0, audio_end_ms=20
            )
            await talk.next("conversation.item.truncated")
            await talk.next("response.created", "response.done")


# ---- settings, items, buffers --------------------------------------------------------------------------


async def test_settings_are_told_and_changed(address: str) -> None:
    async with talking(address) as talk:
        created = await talk.next("session.created")
        assert created.session.audio.input.turn_detection.type == "server_vad"
        await talk.connection.session.update(
            session={
                "type": "realtime",
                "instructions": "Be brief.",
                "audio": {
                    "input": {"turn_detection": {"type": "semantic_vad", "eagerness": "high"}},
                    "output": {"voice": "marin", "speed": 1.2},
                },
            }
        )
        session = (await talk.next("session.updated")).session
        assert session.instructions == "Be brief."
        assert session.audio.input.turn_detection.eagerness == "high"
        assert session.audio.output.speed == 1.2


async def test_a_mistake_is_an_error_that_names_it(address: str) -> None:
    async with talking(address) as talk:
        wrong: Any = {
            "type": "realtime",
            "audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}},
        }
        await talk.connection.session.update(session=wrong, event_id="mine")
        error = (await talk.next("error")).error
        assert (error.event_id, error.param) == ("mine", "session.audio.input.format.rate")
        assert (error.type, error.code) == ("invalid_request_error", "invalid_event")


async def test_items_are_added_retrieved_and_deleted(address: str) -> None:
    async with talking(address) as talk:
        await talk.write("First", "item_first")
        await talk.write("Second", "item_second")
        added = [await talk.next("conversation.item.done") for _ in range(2)]
        assert [event.previous_item_id for event in added] == [None, "item_first"]
        await talk.connection.conversation.item.retrieve(item_id="item_first")
        assert (await talk.next("conversation.item.retrieved")).item.content[0].text == "First"
        await talk.connection.conversation.item.delete(item_id="item_first")
        assert (await talk.next("conversation.item.deleted")).item_id == "item_first"
        await talk.connection.conversation.item.retrieve(item_id="item_first")
        assert (await talk.next("error")).error.code == "unknown_name"


async def test_what_was_said_can_be_retrieved_with_its_sound(address: str) -> None:
    async with talking(address) as talk:
        await talk.connection.session.update(session=PUSH_TO_TALK)
        await talk.speak(question())
        await talk.connection.input_audio_buffer.commit()
        item_id = (await talk.next("input_audio_buffer.committed")).item_id
        await talk.next("conversation.item.input_audio_transcription.completed")
        await talk.connection.conversation.item.retrieve(item_id=item_id)
        content = (await talk.next("conversation.item.retrieved")).item.content[0]
        assert content.transcript == TRANSCRIPT
        assert len(base64.b64decode(content.audio)) == pytest.approx(len(question()), rel=0.02)


async def test_the_microphones_buffer_can_be_cleared(address: str) -> None:
    async with talking(address) as talk:
        await talk.connection.session.update(session=PUSH_TO_TALK)
        await talk.speak(question())
        await talk.connection.input_audio_buffer.clear()
        await talk.next("input_audio_buffer.cleared")
        await talk.connection.input_audio_buffer.commit()
        assert "0 ms" in (await talk.next("error")).error.message


# ---- stopping, and answers of another kind -------------------------------------------------------------


async def test_an_answer_can_be_cancelled(address: str) -> None:
    async with talking(address) as talk:
        await talk.write(LONG)
        await talk.connection.response.create()
        created = await talk.next("response.created")
        await talk.connection.response.cancel(response_id=created.response.id)
        done = await talk.next("response.done")
        assert done.response.status == "cancelled"
        assert done.response.status_details.reason == "client_cancelled"
        await talk.connection.response.cancel()
        await talk.next("error")


async def test_of_a_truncated_answer_the_words_that_were_played_stay(address: str) -> None:
    async with talking(address) as talk:
        await talk.write(LONG)
        await talk.connection.response.create()
        item = (await talk.next("response.done")).response.output[0]
        await talk.connection.conversation.item.truncate(item_id=item.id, content_index=0, audio_end_ms=1000)
        truncated = await talk.next("conversation.item.truncated")
        assert (truncated.item_id, truncated.audio_end_ms) == (item.id, 1000)
        await talk.connection.conversation.item.retrieve(item_id=item.id)
        kept = (await talk.next("conversation.item.retrieved")).item.content[0].transcript
        assert item.content[0].transcript.startswith(kept)
        assert 5 < len(kept.split()) < 40  # a second, at twenty words a second


async def test_the_speakers_buffer_can_be_cleared(address: str) -> None:
    async with talking(address) as talk:
        await talk.write(LONG)
        await talk.connection.response.create()
        await talk.next("response.output_audio.delta")
        await talk.connection.output_audio_buffer.clear()
        await talk.next("output_audio_buffer.cleared")


async def test_an_answer_outside_of_the_conversation(address: str) -> None:
    async with talking(address) as talk:
        await talk.write("In the conversation", "item_in")
        message: Any = {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "Beside it"}],
        }
        await talk.connection.response.create(
            response={"conversation": "none", **TEXT, "input": [message], "metadata": {"topic": "aside"}}
        )
        done = await talk.next("response.done")
        assert "Beside it" in done.response.output[0].content[0].text
        assert done.response.metadata == {"topic": "aside"}
        assert done.response.conversation_id is None
        assert not [e for e in talk.all("conversation.item.added") if e.item.role == "assistant"]
        await talk.connection.response.create(
            response={**TEXT, "input": [{"type": "item_reference", "id": "item_in"}]}
        )
        done = await talk.next("response.done")
        assert "In the conversation" in done.response.output[0].content[0].text


async def test_one_answer_at_a_time(address: str) -> None:
    async with talking(address) as talk:
        await talk.write(LONG)
        await talk.connection.response.create()
        await talk.connection.response.create(event_id="second")
        assert (await talk.next("error")).error.event_id == "second"
        await talk.next("response.done")


# ---- our own events ------------------------------------------------------------------------------------


async def test_our_own_events_tell_what_the_protocol_has_no_words_for(address: str) -> None:
    async with talking(address) as talk:
        await talk.speak(question())
        done = await talk.next("response.done")
        turn = await talk.next("raydio.turn")
        item = done.response.output[0]
        assert talk.all("raydio.session")[0].resumed is False
        assert turn.item_id == item.id
        assert turn.silence_ms > 0
        assert {span["name"] for span in turn.spans} >= {"silence", "transcript"}
        captions = talk.all("raydio.captions")
        assert captions[-1].final
        assert captions[0].words[0]["text"] in item.content[0].transcript
        await talk.connection.send(
            {"type": "raydio.playback", "item_id": item.id, "played_ms": 100, "playing": True}  # type: ignore[arg-type]
        )
        await talk.connection.session.update(session={"type": "realtime", "instructions": "Go on."})
        await talk.next("session.updated")
        assert not talk.all("error")


class WellReadChat(FakeChat):
    """Looks something up first."""

    async def stream_turn(self, request: TurnRequest) -> AsyncIterator[TurnEvent]:
        yield SourcesFound(
            sources=(Source(id="1", title="Atlas", text="Lisbon lies by the sea.", score=0.9),)
        )
        async for event in super().stream_turn(request):
            yield event


async def test_the_sources_of_an_answer_are_told() -> None:
    with guarded_door(fake_clients(chat=WellReadChat())) as address:
        async with talking(address) as talk:
            await talk.write("Where does Lisbon lie?")
            await talk.connection.response.create(response=TEXT)
            found = await talk.next("raydio.sources")
            assert found.sources[0]["title"] == "Atlas"
            assert found.response_id == (await talk.next("response.done")).response.id


async def test_a_lost_session_is_resumed(address: str) -> None:
    async with talking(address) as talk:
        session_id = (await talk.next("raydio.session")).session_id
        await talk.write("Before", "item_before")
        last = await talk.next("conversation.item.done")
        await talk.connection.close(code=1001)
    async with talking(address, resume=session_id, after=last.event_id) as talk:
        assert (await talk.next("raydio.session")).resumed
        await talk.connection.conversation.item.retrieve(item_id="item_before")
        assert (await talk.next("conversation.item.retrieved")).item.content[0].text == "Before"
