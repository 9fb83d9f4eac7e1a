"""The voice page without a browser: what the component brings, and the endpoint for programs."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from gradio.exceptions import AppError
from gradio_client import Client, handle_file

from serve_apps.errors import StageBusy
from serve_apps.media import encode, read
from serve_apps.wire import Audio, TurnFailed, VoiceTurnRequest
from tests.fake_clients import TRANSCRIPT, FakeStt, FakeTts, FakeVoiceChat, fake_clients
from tests.ui_server import served
from ui.live import RATE_HZ, SAMPLE, choices, conversation, example


class FailingVoice(FakeVoiceChat):
    """Comes as far as the models, and they fail."""

    async def _events(self) -> Any:
        yield TurnFailed(stage="llm", code="stage_failed", message="The llm gave up. Ask again.")


# ---- the component -----------------------------------------------------------------------------


async def test_every_file_of_the_page_is_used() -> None:
    folder = Path(__file__).parents[1] / "assets/live"
    with gr.Blocks(analytics_enabled=False):
        joined = conversation(fake_clients()).head
    for path in folder.glob("*.js"):
        assert path.name == "worklets.js" or path.read_text() in joined, path


async def test_the_template_leaves_nothing_for_gradio_to_evaluate() -> None:
    with gr.Blocks(analytics_enabled=False):
        live = conversation(fake_clients())
    assert "${" not in live.html_template
    assert "{{" not in live.html_template
    assert "registerProcessor" in live.props["worklets"]


async def test_voices_and_languages_are_listed_or_not_at_all() -> None:
    tts, stt = FakeTts(), FakeStt()
    listed = await choices(tts, stt)(None)
    assert [voice["id"] for voice in listed["voices"]] == ["en-gb", "en-us", "de"]
    tts.down = stt.down = StageBusy("tts", "Busy.")
    assert await choices(tts, stt)(None) == {"voices": [], "languages": []}


async def test_the_example_comes_as_the_session_wants_it() -> None:
    pcm = np.frombuffer(base64.b64decode((await example()(None))["pcm"]), "<i2")
    assert len(pcm) / RATE_HZ == pytest.approx(read(SAMPLE).duration_s, abs=0.01)
    assert np.abs(pcm).max() > 3_000


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


def test_the_endpoint_says_what_failed() -> None:
    with served(fake_clients(voice=FailingVoice()), "voice") as address:
        client = Client(f"{address}/ui/voice/", verbose=False)
        with pytest.raises(AppError, match="gave up"):
            client.predict(audio=handle_file(SAMPLE), api_name="/turn")
        client.close()


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
