"""The voice page without a browser: a turn as it grows, the handlers, the endpoint."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from gradio.exceptions import AppError
from gradio_client import Client, handle_file

from serve_apps.errors import StageBusy, StageUnavailable
from serve_apps.media import encode, read
from serve_apps.wire import (
    Audio,
    AudioSegment,
    FinalTranscript,
    Message,
    Span,
    TextDelta,
    TurnDone,
    TurnEvent,
    TurnFailed,
    VoiceTurnRequest,
)
from tests.fake_clients import TRANSCRIPT, FakeTts, FakeVoiceChat, fake_clients, hum, turn_done
from tests.ui_server import served
from ui.spoken_answer import LISTENING, SpokenAnswer
from ui.spoken_turns import SAMPLE, Conversation
from ui.voice import voice_choices

REQUEST = gr.Request(session_hash="anna")


class ScriptedVoice(FakeVoiceChat):
    """Plays the events it is given; an asyncio.Event is waited for."""

    def __init__(self, *events: TurnEvent | asyncio.Event) -> None:
        super().__init__()
        self.events = events

    async def _events(self) -> Any:
        for event in self.events:
            if isinstance(event, asyncio.Event):
                await event.wait()
            else:
                yield event


class DownVoice(FakeVoiceChat):
    """Not there."""

    async def _events(self) -> Any:
        raise StageUnavailable("voice", "The voice stage is restarting.", "Wait a little.", 3.0)
        yield


def recorded(samples: object = None) -> gr.EventData:
    pcm = np.full(16_000, 1000, "<i2") if samples is None else samples
    return gr.EventData(None, {"audio": base64.b64encode(pcm.tobytes()).decode(), "rate_hz": 16_000})  # type: ignore[attr-defined]


def texts(log: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(m["role"], m["content"][0]["text"]) for m in log if not (m.get("metadata") or {}).get("title")]


def titles(log: list[dict[str, Any]]) -> list[str]:
    return [m["metadata"]["title"] for m in log if (m.get("metadata") or {}).get("title")]


# ---- a turn as it grows ------------------------------------------------------------------------


def test_the_users_words_are_a_placeholder_until_they_are_heard() -> None:
    answer = SpokenAnswer()
    assert texts(answer.messages()) == [("user", LISTENING)]
    answer.add(FinalTranscript(text="Hello"))
    answer.add(TextDelta(text="Hi "))
    answer.add(TextDelta(text="you."))
    assert texts(answer.messages()) == [("user", "Hello"), ("assistant", "Hi you.")]


def test_sound_is_handed_over_once_and_in_order() -> None:
    answer = SpokenAnswer()
    pieces = [hum(0.1), hum(0.2)]
    for index, piece in enumerate(pieces):
        answer.add(AudioSegment(index=index, text="", audio=piece))
    assert answer.new_sound() == pieces
    assert answer.new_sound() == []


def test_a_turn_ends_with_where_the_time_went_in_plain_words() -> None:
    answer = SpokenAnswer("Hello")
    done = turn_done(3, notes=("The voice is missing.",))
    spans = (
        Span(name="transcript", start_ms=0, duration_ms=90),
        Span(name="first audio", start_ms=400, duration_ms=20),
    )
    answer.add(TurnDone(**{**_fields(done), "waterfall": spans}))
    notes = answer.messages()
    assert titles(notes) == ["Worth knowing", "Speech ready after 420 ms"]
    assert "understanding you" in notes[-1]["content"][0]["text"]


def test_an_answer_without_speech_claims_none() -> None:
    answer = SpokenAnswer("Hello")
    answer.add(TurnDone(**{**_fields(turn_done(3)), "finish_reason": "length"}))
    assert titles(answer.messages()) == ["Where the time went · stopped at the longest answer"]


def _fields(done: TurnDone) -> dict[str, Any]:
    return {name: getattr(done, name) for name in done.__dataclass_fields__}


def test_a_failure_before_the_words_leaves_no_placeholder() -> None:
    answer = SpokenAnswer()
    answer.add(TurnFailed(stage="stt", code="no_speech", message="I heard no words. Hold the button."))
    assert texts(answer.messages()) == []
    assert titles(answer.messages()) == ["That did not work"]
    assert answer.failure.startswith("I heard no words")


# ---- handlers ----------------------------------------------------------------------------------


async def test_a_recorded_turn_fills_log_and_player() -> None:
    voice = FakeVoiceChat()
    shown = [s async for s in Conversation(voice).recorded([], "de", 1.5, recorded(), REQUEST)]
    boxes, logs, sounds = zip(*shown, strict=True)
    assert texts(logs[0]) == [("user", LISTENING)]
    assert texts(logs[-1]) == [("user", TRANSCRIPT), ("assistant", " ".join(FakeVoiceChat.clauses) + " ")]
    assert sounds[0] is None
    values = [s for s in sounds[1:] if s]
    assert all(value is values[0] for value in values)
    assert values[0]["rate_hz"] == hum(0.1).rate_hz
    assert (boxes[0]["stop_btn"], boxes[-1]["stop_btn"]) == ("Stop", False)
    (asked,) = voice.requests
    assert (asked.voice, asked.speed, asked.turn.caller, asked.audio.duration_s) == ("de", 1.5, "anna", 1.0)


async def test_the_conversation_goes_with_the_next_turn() -> None:
    voice = FakeVoiceChat()
    talk = Conversation(voice)
    first = [s async for s in talk.recorded([], "", 1.0, recorded(), REQUEST)]
    second = [s async for s in talk.recorded(first[-1][1], "", 1.0, recorded(), REQUEST)]
    assert [m.role for m in voice.requests[1].turn.messages] == ["user", "assistant"]
    assert len(texts(second[-1][1])) == 4


async def test_a_typed_turn_is_asked_without_audio_and_clears_the_box() -> None:
    voice = ScriptedVoice(TextDelta(text="Yes."), turn_done(1))
    shown = [s async for s in Conversation(voice).typed("Really?", [], None, 1.0, REQUEST)]
    assert shown[0][0]["value"] == ""
    assert texts(shown[0][1]) == [("user", "Really?")]
    assert voice.requests[0].audio is None
    assert voice.requests[0].turn.messages == (Message(role="user", content="Really?"),)
    assert texts(shown[-1][1]) == [("user", "Really?"), ("assistant", "Yes.")]


async def test_an_empty_box_asks_nobody() -> None:
    voice = FakeVoiceChat()
    assert len([s async for s in Conversation(voice).typed(" \n", [], "", 1.0, REQUEST)]) == 1
    assert not voice.requests


async def test_the_example_is_a_recording_of_speech() -> None:
    voice = FakeVoiceChat()
    async for _ in Conversation(voice).sample([], "", 1.0, REQUEST):
        pass
    assert voice.requests[0].audio.duration_s == pytest.approx(read(SAMPLE).duration_s)
    assert np.abs(voice.requests[0].audio.samples).max() > 0.1


async def test_retry_asks_the_question_again_in_writing() -> None:
    voice = FakeVoiceChat()
    talk = Conversation(voice)
    log = [s async for s in talk.recorded([], "", 1.0, recorded(), REQUEST)][-1][1]
    event = gr.RetryData(None, {"index": len(log) - 1, "value": ""})
    async for _ in talk.retry(log, "", 1.0, event, REQUEST):
        pass
    assert voice.requests[1].audio is None
    assert voice.requests[1].turn.messages == (Message(role="user", content=TRANSCRIPT),)


async def test_a_stage_that_is_down_is_said_in_the_log() -> None:
    shown = [s async for s in Conversation(DownVoice()).recorded([], "", 1.0, recorded(), REQUEST)]
    assert titles(shown[-1][1]) == ["That did not work"]
    assert shown[-1][0]["submit_btn"] == "Send"


async def test_an_empty_recording_is_refused_before_the_turn() -> None:
    voice = FakeVoiceChat()
    with pytest.raises(gr.Error, match="empty"):
        async for _ in Conversation(voice).recorded([], "", 1.0, recorded(np.zeros(0, "<i2")), REQUEST):
            pass
    assert not voice.requests


async def test_closing_a_handler_closes_the_turn() -> None:
    voice = FakeVoiceChat(pause_s=60)
    shown = Conversation(voice).recorded([], "", 1.0, recorded(), REQUEST)
    await anext(shown)
    await anext(shown)
    await shown.aclose()  # type: ignore[attr-defined]
    assert (voice.n_closed, voice.n_finished) == (1, 0)


@pytest.mark.parametrize(("leave", "left"), [("stop", [("user", TRANSCRIPT)]), ("discard", [])])
async def test_a_turn_that_is_left_ends_at_once(leave: str, left: list[tuple[str, str]]) -> None:
    voice = ScriptedVoice(FinalTranscript(text=TRANSCRIPT), asyncio.Event())
    talk = Conversation(voice)
    shown = []
    async for values in talk.recorded([], "", 1.0, recorded(), REQUEST):
        shown.append(values)
        if texts(values[1]) == [("user", TRANSCRIPT)]:
            await getattr(talk, leave)(REQUEST)
    assert texts(shown[-1][1]) == left
    assert shown[-1][0]["submit_btn"] == "Send"
    assert (voice.n_closed, voice.n_finished) == (1, 0)


async def test_a_turn_that_is_overtaken_leaves_the_page_to_the_next() -> None:
    voice = ScriptedVoice(TextDelta(text="Endless"), asyncio.Event())
    talk = Conversation(voice)
    first = talk.recorded([], "", 1.0, recorded(), REQUEST)
    await anext(first)
    second = talk.typed("Next", [], "", 1.0, REQUEST)
    await anext(second)
    assert [log for _, log, _ in [s async for s in first] if isinstance(log, list)] == []
    assert voice.n_closed == 1
    await talk.stop(REQUEST)
    rest = [s async for s in second]
    assert texts(rest[-1][1])[0] == ("user", "Next")


async def test_voices_are_listed_after_the_standard_one_or_not_at_all() -> None:
    update = await voice_choices(FakeTts())()
    assert [value for _, value in update["choices"]] == ["", "en-gb", "en-us", "de"]
    down = FakeTts()
    down.down = StageBusy("tts", "Busy.")
    assert "choices" not in await voice_choices(down)()


# ---- endpoint ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def voice() -> FakeVoiceChat:
    return FakeVoiceChat()


@pytest.fixture(scope="module")
def client(voice: FakeVoiceChat) -> Iterator[Client]:
    with served(fake_clients(voice=voice), "voice") as address:
        client = Client(f"{address}/ui/voice/", verbose=False)
        yield client
        client.close()


def test_the_endpoint_answers_with_words_and_a_sound_file(client: Client, voice: FakeVoiceChat) -> None:
    history = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    transcript, answer, speech = client.predict(
        audio=handle_file(SAMPLE), history=history, voice="en-us", speed=1.25, api_name="/turn"
    )
    assert (transcript, answer) == (TRANSCRIPT, " ".join(FakeVoiceChat.clauses) + " ")
    assert read(Path(speech)).duration_s == pytest.approx(0.8, abs=0.01)
    asked: VoiceTurnRequest = voice.requests[-1]
    assert (asked.voice, asked.speed) == ("en-us", 1.25)
    assert [m.content for m in asked.turn.messages] == ["a", "b"]
    assert isinstance(asked.audio, Audio)


def test_the_endpoint_refuses_what_is_not_sound(client: Client, tmp_path: Path) -> None:
    (tmp_path / "noise.wav").write_bytes(b"not a sound file" * 100)
    with pytest.raises(AppError, match="not an audio"):
        client.predict(audio=handle_file(tmp_path / "noise.wav"), api_name="/turn")
    with pytest.raises(AppError, match="no recording"):
        client.predict(audio=None, api_name="/turn")


def test_the_endpoint_refuses_a_long_file_and_says_where_to_go(client: Client, tmp_path: Path) -> None:
    hours = tmp_path / "hours.flac"
    hours.write_bytes(encode(Audio(samples=np.zeros(200 * 8_000, np.float32), rate_hz=8_000), "flac"))
    with pytest.raises(AppError, match="longer than 120 seconds"):
        client.predict(audio=handle_file(hours), api_name="/turn")
