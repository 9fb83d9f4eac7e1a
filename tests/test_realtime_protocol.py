"""What clients send, read: every event, every setting, and what is said about a wrong one."""

from __future__ import annotations

import base64
import copy
import json
import random
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from serve_apps.errors import ProtocolError
from serve_apps.realtime import client_events as said
from serve_apps.realtime.config import G711, BargeIn, Pcm, SemanticVad, ServerVad, Session, Transcription
from serve_apps.realtime.parsing import parse
from serve_apps.realtime.shapes import EVENTS

SOUND = bytes(range(200))
BASE64 = base64.b64encode(SOUND).decode()


def read(event: Any, session: Session | None = None) -> Any:
    return parse(json.dumps(event), session or Session())[1]


def update(**session: Any) -> Session:
    return read({"type": "session.update", "session": {"type": "realtime", **session}}).session


def refused(event: Any, session: Session | None = None) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        read(event, session)
    return caught.value


def refused_update(**session: Any) -> ProtocolError:
    return refused({"type": "session.update", "session": session})


@pytest.mark.parametrize(
    ("event", "value"),
    [
        ({"type": "input_audio_buffer.append", "audio": BASE64}, said.AppendAudio(data=SOUND)),
        ({"type": "input_audio_buffer.append", "audio": ""}, said.AppendAudio(data=b"")),
        ({"type": "input_audio_buffer.commit"}, said.CommitAudio()),
        ({"type": "input_audio_buffer.clear"}, said.ClearAudio()),
        ({"type": "conversation.item.retrieve", "item_id": "item_1"}, said.RetrieveItem(item_id="item_1")),
        ({"type": "conversation.item.delete", "item_id": "item_1"}, said.DeleteItem(item_id="item_1")),
        (
            {
                "type": "conversation.item.truncate",
                "item_id": "item_1",
                "content_index": 0,
                "audio_end_ms": 1500,
            },
            said.TruncateItem(item_id="item_1", content_index=0, audio_end_ms=1500),
        ),
        ({"type": "response.cancel"}, said.CancelResponse()),
        ({"type": "response.cancel", "response_id": "resp_1"}, said.CancelResponse(response_id="resp_1")),
        ({"type": "output_audio_buffer.clear"}, said.ClearOutput()),
        (
            {"type": "raydio.playback", "item_id": "item_1", "played_ms": 250.5, "playing": True},
            said.PlaybackReport(item_id="item_1", played_ms=250.5, playing=True),
        ),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_events_are_read(event: dict[str, Any], value: said.ClientEvent) -> None:
    assert parse(json.dumps({**event, "event_id": "mine"}), Session()) == ("mine", value)
    assert parse(json.dumps(event), Session()) == (None, value)


def test_every_event_has_a_shape() -> None:
    assert set(EVENTS) == {
        "session.update",
        "input_audio_buffer.append",
        "input_audio_buffer.commit",
        "input_audio_buffer.clear",
        "conversation.item.create",
        "conversation.item.retrieve",
        "conversation.item.delete",
        "conversation.item.truncate",
        "response.create",
        "response.cancel",
        "output_audio_buffer.clear",
        "raydio.playback",
    }


# ---- settings --------------------------------------------------------------------------------------


def test_an_update_changes_what_it_names_and_nothing_else() -> None:
    session = update(
        instructions="Be brief.",
        output_modalities=["text"],
        max_output_tokens=100,
        audio={
            "input": {
                "format": {"type": "audio/pcmu"},
                "turn_detection": {"type": "semantic_vad", "eagerness": "high"},
                "transcription": {"model": "whisper-1", "language": "de-CH", "prompt": "Raydio"},
            },
            "output": {"voice": "en-us", "speed": 1.25},
        },
        raydio={"barge_in": {"mode": "speech"}, "partial_transcripts": False},
    )
    assert (session.instructions, session.output_modalities) == ("Be brief.", ("text",))
    assert session.max_output_tokens == 100
    assert session.audio.input.format == G711(type="audio/pcmu")
    assert session.audio.input.turn_detection == SemanticVad(eagerness="high")
    assert session.audio.input.transcription == Transcription(
        model="whisper-1", language="de", prompt="Raydio"
    )
    assert (session.audio.output.voice, session.audio.output.speed) == ("en-us", 1.25)
    assert session.audio.output.format == Pcm()
    assert session.raydio.barge_in == BargeIn(mode="speech")
    assert not session.raydio.partial_transcripts


def test_a_field_of_turn_detection_alone_is_laid_over_what_stands() -> None:
    detection = update(audio={"input": {"turn_detection": {"silence_duration_ms": 900}}}).audio.input
    assert detection.turn_detection == ServerVad(silence_duration_ms=900)


def test_null_turns_off_what_can_be_off_and_leaves_alone_what_cannot() -> None:
    off = {"turn_detection": None, "transcription": None, "noise_reduction": None, "format": None}
    session = update(instructions=None, audio={"input": off, "output": None})
    assert session.audio.input.turn_detection is None
    assert session.audio.input.transcription is None
    assert session.audio.input.format == Pcm()
    assert session.audio.output == Session().audio.output


def test_what_clients_of_openai_send_by_habit_changes_nothing() -> None:
    habit = {
        "model": "gpt-realtime",
        "id": "sess_1",
        "object": "realtime.session",
        "expires_at": 0,
        "tools": [],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "tracing": None,
        "prompt": None,
        "include": None,
        "truncation": "auto",
        "max_output_tokens": "inf",
        "output_modalities": ["text", "audio"],
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "turn_detection": {"type": "server_vad", "idle_timeout_ms": None},
            },
            "output": {"format": {"type": "audio/pcm"}, "voice": "marin"},
        },
    }
    assert update(**habit) == Session()


def test_a_session_can_be_sent_back_as_it_was_shown() -> None:
    shown = Session().model_dump(mode="json")
    assert update(**shown, id="sess_1", object="realtime.session", model="raydio") == Session()


@pytest.mark.parametrize("format_", [{"type": "audio/pcma"}, {"type": "audio/pcma", "rate": 8000}])
def test_g711_may_name_its_rate(format_: dict[str, Any]) -> None:
    assert update(audio={"output": {"format": format_}}).audio.output.format == G711(type="audio/pcma")


@pytest.mark.parametrize(
    ("voice", "meant"), [("alloy", ""), ({"id": "en-us"}, "en-us"), ({"id": "cedar"}, "")]
)
def test_voices_are_ours_and_openais_mean_the_default(voice: Any, meant: str) -> None:
    assert update(audio={"output": {"voice": voice}}).audio.output.voice == meant


@pytest.mark.parametrize(
    ("format_", "param", "told"),
    [
        ({"type": "audio/pcm", "rate": 16000}, "format.rate", "must be 24000, not 16000"),
        ({"type": "audio/pcmu", "rate": 24000}, "format.rate", "must be 8000, not 24000"),
        ({"type": "audio/opus"}, "format.type", "'audio/pcm', 'audio/pcmu', 'audio/pcma'"),
        ("pcm16", "format", '{"type": "audio/pcm", "rate": 24000}'),
    ],
)
def test_a_wrong_sample_rate_or_format_says_which_is_right(format_: Any, param: str, told: str) -> None:
    for side in ("input", "output"):
        error = refused_update(audio={side: {"format": format_}})
        assert error.param == f"session.audio.{side}.{param}"
        assert told in str(error)


@pytest.mark.parametrize(
    ("session", "param"),
    [
        ({"type": "transcription"}, "session.type"),
        ({"tools": [{"type": "function", "name": "f"}]}, "session.tools"),
        ({"include": ["item.input_audio_transcription.logprobs"]}, "session.include"),
        ({"tracing": "auto"}, "session.tracing"),
        ({"prompt": {"id": "pmpt_1"}}, "session.prompt"),
        ({"truncation": "disabled"}, "session.truncation"),
        ({"reasoning": {"effort": "low"}}, "session.reasoning"),
        ({"voice": "alloy"}, "session.voice"),
        ({"input_audio_format": "pcm16"}, "session.input_audio_format"),
        ({"instructons": "typo"}, "session.instructons"),
        ({"instructions": 5}, "session.instructions"),
        ({"instructions": "x" * 50_001}, "session.instructions"),
        ({"output_modalities": []}, "session.output_modalities"),
        ({"output_modalities": ["video"]}, "session.output_modalities.0"),
        ({"max_output_tokens": 9999}, "session.max_output_tokens"),
        ({"max_output_tokens": "lots"}, "session.max_output_tokens"),
        ({"audio": []}, "session.audio"),
        ({"audio": {"input": 1}}, "session.audio.input"),
        ({"audio": {"output": {"voice": ["alloy"]}}}, "session.audio.output.voice"),
        ({"audio": {"output": {"speed": 9}}}, "session.audio.output.speed"),
        (
            {"audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 2}}}},
            "session.audio.input.turn_detection.threshold",
        ),
        (
            {"audio": {"input": {"turn_detection": {"type": "psychic"}}}},
            "session.audio.input.turn_detection.type",
        ),
        (
            {"audio": {"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5000}}}},
            "session.audio.input.turn_detection.idle_timeout_ms",
        ),
        (
            {"audio": {"input": {"transcription": {"language": "Klingon!"}}}},
            "session.audio.input.transcription.language",
        ),
        ({"raydio": {"barge_in": {"mode": "never"}}}, "session.raydio.barge_in.mode"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_setting_that_cannot_be_is_named(session: dict[str, Any], param: str) -> None:
    error = refused_update(**session)
    assert error.param == param
    assert error.code == "invalid_event"


def test_what_is_allowed_is_said() -> None:
    threshold = {"audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 2}}}}
    assert "must be at most 1, not 2" in str(refused_update(**threshold)).replace("1.0", "1")
    assert "'speech'" in str(refused_update(raydio={"barge_in": {"mode": "never"}}))
    assert "'inf'" in str(refused_update(max_output_tokens=9999))
    assert "is session.audio.input.format now" in str(refused_update(input_audio_format="pcm16"))


# ---- items, responses --------------------------------------------------------------------------------


def created(role: str, *parts: dict[str, Any], **item: Any) -> said.NewItem:
    event = {
        "type": "conversation.item.create",
        "item": {"type": "message", "role": role, "content": parts, **item},
    }
    return read(event).item


def test_messages_of_text() -> None:
    assert created("user", {"type": "input_text", "text": "Hi"}) == said.NewItem(role="user", text="Hi")
    assert created("system", {"type": "text", "text": "Be kind"}).role == "system"
    two = created("user", {"type": "input_text", "text": "One"}, {"type": "input_text", "text": "Two"})
    assert two.text == "One\nTwo"
    answer = created("assistant", {"type": "output_text", "text": "Hello"}, id="item_9", status="completed")
    assert answer == said.NewItem(id="item_9", role="assistant", text="Hello")


def test_messages_of_sound() -> None:
    sound = {"type": "input_audio", "audio": BASE64, "transcript": "not asked for"}
    assert created("user", sound, {"type": "input_audio", "audio": BASE64}) == said.NewItem(
        role="user", audio=SOUND + SOUND
    )
    assert created("user", {"type": "input_audio", "transcript": "Hi"}).text == "Hi"
    spoken = created("assistant", {"type": "output_audio", "transcript": "Hello", "audio": BASE64})
    assert spoken == said.NewItem(role="assistant", text="Hello")


def test_where_an_item_goes() -> None:
    event = {
        "type": "conversation.item.create",
        "previous_item_id": "root",
        "item": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
    }
    assert read(event).previous_item_id == "root"


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"type": "function_call", "name": "f", "arguments": "{}"}, "item.type"),
        ({"type": "message", "role": "user", "content": []}, "item.content"),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": " "}]},
            "item.content",
        ),
        ({"type": "message", "role": "tool", "content": [{"type": "text", "text": "x"}]}, "item.role"),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": "data:"}]},
            "item.content.0.type",
        ),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": "?!"}]},
            "item.content.0.audio",
        ),
        (
            {
                "type": "message",
                "role": "user",
                "id": "a b",
                "content": [{"type": "input_text", "text": "x"}],
            },
            "item.id",
        ),
        ({"role": "user", "content": [{"type": "input_text", "text": "x"}]}, "item.type"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_items_that_cannot_be_are_refused(item: dict[str, Any], param: str) -> None:
    assert refused({"type": "conversation.item.create", "item": item}).param == param


def options(**response: Any) -> said.ResponseOptions:
    return read({"type": "response.create", "response": response}).options


def test_a_response_as_the_session_says() -> None:
    assert read({"type": "response.create"}).options == said.ResponseOptions(session=Session())
    assert options() == said.ResponseOptions(session=Session())


def test_a_response_of_its_own_kind() -> None:
    own = options(
        conversation="none",
        instructions="Rhyme.",
        output_modalities=["text"],
        max_output_tokens=20,
        metadata={"topic": "verse"},
        audio={"output": {"voice": "en-us"}},
        tools=[],
        input=[
            {"type": "item_reference", "id": "item_1"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go"}]},
        ],
    )
    assert (own.in_conversation, own.metadata) == (False, {"topic": "verse"})
    assert own.input == ("item_1", said.NewItem(role="user", text="Go"))
    assert (own.session.instructions, own.session.output_modalities) == ("Rhyme.", ("text",))
    assert (own.session.max_output_tokens, own.session.audio.output.voice) == (20, "en-us")
    assert own.session.audio.input == Session().audio.input


@pytest.mark.parametrize(
    ("response", "param"),
    [
        ({"conversation": "other"}, "response.conversation"),
        ({"metadata": {"a": 1}}, "response.metadata.a"),
        ({"audio": {"input": {}}}, "response.audio.input"),
        ({"audio": 5}, "response.audio"),
        ({"tools": [{}]}, "response.tools"),
        ({"temperature": 1.0}, "response.temperature"),
        ({"surprise": 1}, "response.surprise"),
        ({"input": [{"type": "function_call_output"}]}, "response.input.0.type"),
        (
            {"input": [{"type": "message", "role": "user", "content": [{"type": "audio", "audio": BASE64}]}]},
            "response.input",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_responses_that_cannot_be_are_refused(response: dict[str, Any], param: str) -> None:
    assert refused({"type": "response.create", "response": response}).param == param


# ---- what is no event --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        "",
        "no json",
        "[]",
        "null",
        "3",
        '"text"',
        "{",
        '{"type": NaN}',
        "[" * 5000,
        '{"type": "\\ud800"}',
        "💥",
    ],
    ids=lambda message: message[:12],
)
def test_what_is_no_json_object_is_refused(message: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(message, Session())
    assert caught.value.event_id is None


@pytest.mark.parametrize(
    ("event", "param"),
    [
        ({}, "type"),
        ({"type": 7}, "type"),
        ({"type": {"a": 1}}, "type"),
        ({"type": "session.created"}, "type"),
        ({"type": "transcription_session.update"}, "type"),
        ({"type": "x" * 10_000}, "type"),
        ({"type": "input_audio_buffer.append"}, "audio"),
        ({"type": "input_audio_buffer.append", "audio": 5}, "audio"),
        ({"type": "input_audio_buffer.append", "audio": "AAA"}, "audio"),
        ({"type": "input_audio_buffer.append", "audio": "à la"}, "audio"),
        ({"type": "input_audio_buffer.append", "audio": BASE64, "rate": 16000}, "rate"),
        ({"type": "input_audio_buffer.commit", "now": True}, "now"),
        ({"type": "session.update"}, "session"),
        ({"type": "session.update", "session": "realtime"}, "session"),
        ({"type": "conversation.item.delete", "item_id": ""}, "item_id"),
        ({"type": "conversation.item.truncate", "item_id": "i", "content_index": 0}, "audio_end_ms"),
        (
            {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0, "audio_end_ms": -1},
            "audio_end_ms",
        ),
        ({"type": "raydio.playback", "item_id": "i", "played_ms": "5", "playing": True}, "played_ms"),
        ({"type": "raydio.playback", "item_id": "i", "played_ms": 5, "playing": "yes"}, "playing"),
        ({"type": "response.create", "response": "now"}, "response"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_wrong_event_names_its_field_and_keeps_its_id(event: dict[str, Any], param: str) -> None:
    error = refused({"event_id": "mine", **event})
    assert (error.param, error.event_id) == (param, "mine")
    assert len(str(error)) < 300


@pytest.mark.parametrize("event_id", [5, ["a"], "x" * 600])
def test_an_event_id_is_a_short_string(event_id: Any) -> None:
    error = refused({"type": "input_audio_buffer.commit", "event_id": event_id})
    assert (error.param, error.event_id) == ("event_id", None)


WHOLE_EVENTS = [
    {"type": "session.update", "session": Session().model_dump(mode="json")},
    {
        "type": "response.create",
        "response": {
            "conversation": "none",
            "input": [
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]},
                {"type": "item_reference", "id": "item_1"},
            ],
            "audio": {"output": {"voice": {"id": "en-us"}, "format": {"type": "audio/pcm"}}},
            "metadata": {"a": "b"},
        },
    },
    {
        "type": "conversation.item.create",
        "item": {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": BASE64}]},
    },
]
ODD_VALUES = (None, True, -1, 1e308, 2**70, "", "é" * 50, [], {}, [[]], {"type": []}, {"type": "audio/pcmu"})


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a value, with each of its keys."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from places(value[key])


def test_however_an_event_is_mangled_it_is_read_or_refused() -> None:
    chance = random.Random(3)  # noqa: S311
    for _ in range(3000):
        event = copy.deepcopy(chance.choice(WHOLE_EVENTS))
        for _ in range(chance.randint(1, 3)):
            container, key = chance.choice(list(places(event)))
            container[key] = copy.deepcopy(chance.choice(ODD_VALUES))
        with suppress(ProtocolError):
            read(event)
