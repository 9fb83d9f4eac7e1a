"""The text to speech page: its handlers, its endpoint, and all of it in a real Chromium."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import soundfile
from gradio_client import Client, handle_file
from playwright.sync_api import Page, expect

from serve_apps.args import TtsArgs
from serve_apps.errors import UnknownName
from serve_apps.tts import TtsStage
from serve_apps.wire import Audio
from tests.fake_clients import FakeTts, fake_clients, hum
from tests.fake_engines.tts import ToneTts
from tests.ui_server import served
from ui.speaker import EXAMPLES, Clock, Speaker, endpoint
from ui.speech_file import CHOICES, SpeechFile


@pytest.fixture(autouse=True)
def gradio_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))


# ---- the file


@pytest.mark.parametrize("format_", CHOICES.values())
@pytest.mark.parametrize("rate_hz", [22_050, 24_000, 96_000])
def test_a_file_is_written_chunk_by_chunk(format_: str, rate_hz: int) -> None:
    with SpeechFile(format_) as file:
        for _ in range(20):
            file.write([hum(0.1, rate_hz=rate_hz), hum(0.05, rate_hz=rate_hz)])
        assert file.duration_s == pytest.approx(3.0, abs=0.01)
    samples, stored_hz = soundfile.read(file.path)
    assert len(samples) / stored_hz == pytest.approx(3.0, abs=0.1)
    assert np.abs(samples).max() == pytest.approx(0.2, abs=0.08)


def test_a_file_that_failed_is_gone() -> None:
    file = SpeechFile("wav")
    file.write([hum(0.1)])
    assert file.path.exists()
    with pytest.raises(ValueError, match="broke"), file:
        raise ValueError("it broke")
    assert not file.path.parent.exists()


def test_a_file_is_discarded_after_the_write_under_way() -> None:
    """A cancelled handler leaves its thread writing."""
    file = SpeechFile("flac")
    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(file.write, [hum(120.0)] * 3)
        while not file.duration_s:
            assert not writing.done()
        file.discard()
    writing.result()
    assert file.duration_s == pytest.approx(360.0)
    assert not file.path.parent.exists()


def test_an_unknown_format_names_the_known() -> None:
    with pytest.raises(UnknownName, match="wav, flac, ogg, mp3"):
        SpeechFile("midi")


# ---- the handlers


async def test_the_endpoint_returns_a_file() -> None:
    tts = FakeTts()
    path = await endpoint(tts)("one two three", "de", "", 1.0, 1.0, "flac")
    assert soundfile.info(path).format == "FLAC"
    assert soundfile.info(path).duration == pytest.approx(0.15, abs=0.01)
    assert tts.requests[0].voice == "de"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("",), "no text"),
        (("hi", "nobody"), "no voice"),
        (("hi", "", "", 1.0, 1.0, "midi"), "no audio format"),
        (("x" * 50_000_000,), "more than 1,000,000 characters"),
    ],
)
async def test_the_endpoint_says_what_is_wrong(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(gr.Error, match=message):
        await endpoint(FakeTts())(*arguments)


async def test_the_stage_decides_about_speed() -> None:
    stage = TtsStage(TtsArgs(), ToneTts)
    with pytest.raises(gr.Error, match="speed"):
        await endpoint(stage)("hi", "", "", 9.0)


async def test_settings_come_from_the_engine() -> None:
    speaker = Speaker(FakeTts())
    language, voice, reference = await speaker.settings()
    assert [value for _, value in language["choices"]] == ["", "en-us", "en-gb", "de"]
    assert language["value"] == "en-gb"
    assert voice["value"] == "en-gb"
    assert reference["visible"] is False
    assert speaker.voices_of("de")["value"] == "de"


async def test_an_example_in_a_language_the_engine_names_otherwise() -> None:
    speaker = Speaker(FakeTts())
    await speaker.settings()
    text, language, voice = speaker.example("中文")()
    assert text == EXAMPLES["中文"][1]
    assert language["value"] == "zh"
    assert voice["value"] == ""
    assert speaker.example("Deutsch")()[1] == "de"


def test_the_clock_counts() -> None:
    clock = Clock()
    assert clock.line() == ""
    clock.heard(2.0)
    assert "2.0 s" in clock.line()
    assert "real-time factor" in clock.line()


# ---- the page


@pytest.fixture(scope="module")
def stage() -> TtsStage:
    return TtsStage(TtsArgs())


@pytest.fixture(scope="module")
def address(stage: TtsStage) -> Iterator[str]:
    with served(fake_clients(tts=stage), "tts") as url:
        yield f"{url}/ui/tts/"


def opened(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator(".ray-player")).to_have_attribute("data-state", "idle", timeout=30_000)
    expect(page.get_by_label("Voice", exact=True)).to_have_value("English (America)")


def test_speaks_and_offers_the_file(page: Page, address: str) -> None:
    opened(page, address)
    page.get_by_label("Text", exact=True).fill("Hello there.")
    page.get_by_role("button", name="Speak", exact=True).click()
    player = page.locator(".ray-player")
    expect(player).to_have_attribute("data-state", "playing", timeout=15_000)
    expect(page.locator("#ray-speech-stats")).to_contain_text("real-time factor")
    expect(page.locator("#ray-file")).to_be_visible()
    expect(player).to_have_attribute("data-state", "done", timeout=15_000)
    assert float(player.get_attribute("data-played-s") or 0) == pytest.approx(1.0, abs=0.3)


def test_an_example_speaks_at_one_click_in_its_language(page: Page, address: str) -> None:
    opened(page, address)
    page.get_by_role("button", name="Deutsch").click()
    expect(page.locator(".ray-player")).to_have_attribute("data-state", "playing", timeout=15_000)
    expect(page.get_by_label("Voice", exact=True)).to_have_value("German")


@pytest.mark.parametrize("leave", ["stop", "close"])
def test_leaving_ends_the_engine_too(page: Page, address: str, stage: TtsStage, leave: str) -> None:
    opened(page, address)
    page.get_by_label("Text", exact=True).fill("A long story, and it goes on. " * 3000)
    page.get_by_role("button", name="Speak", exact=True).click()
    expect(page.locator(".ray-player")).to_have_attribute("data-state", "playing", timeout=15_000)
    if leave == "stop":
        page.locator("#ray-stop").click()
        expect(page.locator(".ray-player")).to_have_attribute("data-state", "done")
    else:
        page.close()
    deadline = time.monotonic() + 10
    while stage._queue.n_running:
        assert time.monotonic() < deadline, "the engine still speaks"


def test_nothing_to_say_is_said_where_it_happened(page: Page, address: str) -> None:
    opened(page, address)
    page.get_by_label("Text", exact=True).fill("   ")
    page.get_by_role("button", name="Speak", exact=True).click()
    expect(page.get_by_text("There is no text to speak.")).to_be_visible(timeout=15_000)


def test_fits_a_phone(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    opened(page, address)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_named_endpoint_works_for_programs(address: str) -> None:
    client = Client(address, verbose=False)
    path = client.predict("Hello from a program", "en-gb+f2", "", 1.5, 1.0, "mp3", api_name="/speak")
    assert soundfile.info(path).format == "MP3"
    assert list(client.view_api(return_format="dict")["named_endpoints"]) == ["/speak"]
    client.close()


def test_a_clip_is_taken_when_the_engine_can_clone(tmp_path: Path) -> None:
    stage = TtsStage(TtsArgs(engine_options={"can_clone": True}), ToneTts)
    clip = tmp_path / "clip.wav"
    soundfile.write(clip, hum(3.0).samples, 22_050)
    with served(fake_clients(tts=stage), "tts") as url:
        client = Client(f"{url}/ui/tts/", verbose=False)
        client.predict("hi", reference=handle_file(clip), api_name="/speak")
        client.close()
    engine = stage._engine
    assert isinstance(engine, ToneTts)
    reference = engine.requests[0].reference
    assert isinstance(reference, Audio)
    assert reference.duration_s == pytest.approx(3.0, abs=0.01)
