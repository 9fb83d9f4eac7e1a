"""The voice page in a real Chromium with a fake microphone: press, talk, hear, interrupt, refuse."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from serve_apps.media import encode, read
from serve_apps.wire import Audio, AudioSegment, FinalTranscript, TextDelta, TurnEvent
from tests.fake_clients import TRANSCRIPT, FakeVoiceChat, fake_clients, hum
from tests.ui_server import served
from ui.spoken_turns import SAMPLE

KEEP_STREAMS = """
const open = MediaDevices.prototype.getUserMedia;
window.streams = [];
MediaDevices.prototype.getUserMedia = async function (...wishes) {
  const stream = await open.apply(this, wishes);
  window.streams.push(stream);
  return stream;
};
"""
INSECURE = "Object.defineProperty(window, 'isSecureContext', { get: () => false });"
MICROPHONE = ("--use-fake-device-for-media-stream",)
ALLOWED = (*MICROPHONE, "--use-fake-ui-for-media-stream")


class EndlessVoice(FakeVoiceChat):
    """Hears, says a first phrase with a minute of sound, and comes to no end of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.left = threading.Semaphore(0)

    async def _events(self) -> Any:
        event: TurnEvent
        for event in (
            FinalTranscript(text=TRANSCRIPT),
            TextDelta(text="Once upon a time,"),
            AudioSegment(index=0, text="Once upon a time,", audio=hum(60.0)),
        ):
            yield event
        try:
            await asyncio.Event().wait()
        finally:
            self.left.release()


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """What the fake microphone plays, over and over: the example question."""
    path = tmp_path / "speech.wav"
    path.write_bytes(encode(read(SAMPLE, rate_hz=48_000), "wav"))
    return path


@contextmanager
def opened(voice: FakeVoiceChat, *flags: str, script: str = KEEP_STREAMS, **context: Any) -> Iterator[Page]:
    """The page over `voice`, in a browser of its own because a fake microphone belongs to the browser."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with served(fake_clients(voice=voice), "voice") as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", *flags])
        page = browser.new_context(**context).new_page()
        page.add_init_script(script)
        page.goto(f"{address}/ui/voice/")
        expect(page.locator(".ray-mic")).to_have_attribute("data-state", "idle")
        expect(page.locator(".ray-player")).to_have_attribute("data-state", "idle")
        yield page
        browser.close()


@pytest.fixture
def talking(speech: Path) -> Callable[..., Any]:
    """Opens the page with the speaking microphone."""
    return lambda voice, **more: opened(
        voice, *ALLOWED, f"--use-file-for-fake-audio-capture={speech}", **more
    )


def press(page: Page) -> None:
    """Put the mouse down on the button and wait until it listens and has heard a second."""
    page.locator(".ray-mic-button").hover()
    page.mouse.down()
    listens(page)


def listens(page: Page) -> None:
    expect(page.locator(".ray-mic")).to_have_attribute("data-state", "recording")
    expect(page.locator(".ray-mic-clock")).to_have_text("0:01")


def log(page: Page) -> Any:
    return page.locator(".ray-log")


def test_hold_talk_release_hear(talking: Callable[..., Any]) -> None:
    voice = FakeVoiceChat()
    with talking(voice) as page:
        hosts = set[str]()
        page.on("request", lambda request: hosts.add(request.url.split("/")[2].split(":")[0]))
        press(page)
        expect(page.locator(".ray-mic-button")).to_have_attribute("aria-pressed", "true")
        page.mouse.up()
        expect(log(page)).to_contain_text(TRANSCRIPT)
        expect(log(page)).to_contain_text("You said a fox. It jumps.")
        expect(log(page)).to_contain_text("Where the time went")
        expect(page.locator(".ray-player")).to_have_attribute("data-state", "done")
        expect(page.locator(".ray-player")).to_have_attribute("data-played-s", "0.80")
        expect(page.locator(".ray-player")).to_have_attribute("data-underruns", "0")
        expect(page.locator(".ray-voice-lag")).to_contain_text("heard after")
        assert float(page.locator(".ray-player").get_attribute("data-first-audio-ms") or "inf") < 5_000
        assert page.evaluate("streams.flatMap(s => s.getTracks()).every(t => t.readyState === 'ended')")
        assert hosts <= {"127.0.0.1", ""}
    (asked,) = voice.requests
    assert asked.audio.rate_hz == 16_000
    assert 1.0 <= asked.audio.duration_s < 5.0
    assert np.abs(asked.audio.samples).max() > 0.05


def test_pressing_again_silences_the_answer_and_closing_the_tab_stops_the_models(
    talking: Callable[..., Any],
) -> None:
    voice = EndlessVoice()
    with talking(voice) as page:
        press(page)
        page.mouse.up()
        expect(page.locator(".ray-player")).to_have_attribute("data-state", "playing")
        expect(page.get_by_role("button", name="Stop").first).to_be_visible()
        press(page)
        expect(page.locator(".ray-player")).to_have_attribute("data-state", "done")
        page.mouse.up()
        expect(log(page).get_by_text("Once upon a time,")).to_have_count(2)
        assert voice.left.acquire(timeout=5)
        assert len(voice.requests) == 2
        page.close()
        assert voice.left.acquire(timeout=20), "closing the tab stops the models"
    assert [m.content for m in voice.requests[1].turn.messages] == [TRANSCRIPT, "Once upon a time,"]


def test_keys_hold_toggle_and_discard(talking: Callable[..., Any]) -> None:
    voice = FakeVoiceChat()
    with talking(voice) as page:
        mic = page.locator(".ray-mic")
        page.keyboard.press("Space")
        expect(mic).to_have_attribute("data-hint", "tapped")
        listens(page)
        page.keyboard.press("Escape")
        expect(mic).to_have_attribute("data-state", "idle")
        assert not voice.requests
        page.locator(".ray-mic-button").focus()
        page.keyboard.press("Enter")
        listens(page)
        page.keyboard.press("Enter")
        expect(log(page)).to_contain_text(TRANSCRIPT)
        page.keyboard.down("Space")
        listens(page)
        page.keyboard.up("Space")
        expect(log(page).get_by_text(TRANSCRIPT)).to_have_count(2)


@pytest.mark.parametrize(
    ("flags", "script", "reason", "words"),
    [
        ((), "", "missing", "No microphone was found"),
        (MICROPHONE, "", "denied", "does not allow the microphone"),
        (ALLOWED, INSECURE, "insecure", "only to secure pages"),
    ],
    ids=["missing", "denied", "insecure"],
)
def test_without_a_microphone_it_says_why_and_typing_works(
    flags: tuple[str, ...], script: str, reason: str, words: str
) -> None:
    voice = FakeVoiceChat()
    with opened(voice, *flags, script=script) as page:
        page.locator(".ray-mic-button").click()
        expect(page.locator(".ray-mic")).to_have_attribute("data-hint", reason)
        expect(page.locator(".ray-mic-hint")).to_contain_text(words)
        page.locator("#ray-box textarea").fill("Hello there")
        page.keyboard.press("Enter")
        expect(log(page)).to_contain_text("It jumps.")
        expect(page.locator(".ray-player")).to_have_attribute("data-state", "done")
    assert voice.requests[0].audio is None
    assert voice.requests[0].turn.messages[-1].content == "Hello there"


def test_the_example_is_one_click_and_clear_empties_the_page() -> None:
    voice = FakeVoiceChat()
    with opened(voice) as page:
        page.get_by_role("button", name="Try an example").click()
        expect(log(page)).to_contain_text("It jumps.")
        page.get_by_role("button", name="Clear").click()
        expect(log(page)).to_contain_text("Ask something aloud")
    assert isinstance(voice.requests[0].audio, Audio)


def test_the_box_can_stop_a_turn_before_its_first_sound() -> None:
    voice = FakeVoiceChat(pause_s=60)
    with opened(voice) as page:
        page.get_by_role("button", name="Try an example").click()
        expect(log(page)).to_contain_text(TRANSCRIPT)
        page.locator("#ray-box .stop-button").click()
        expect(page.locator("#ray-box .submit-button")).to_be_visible()
        page.locator("#ray-box textarea").fill("Next")
        page.keyboard.press("Enter")
        expect(log(page).get_by_text(TRANSCRIPT)).to_have_count(2)  # the fake hears it in any turn
        assert (voice.n_closed, len(voice.requests)) == (1, 2)


def test_voice_and_speed_reach_the_models() -> None:
    voice = FakeVoiceChat()
    with opened(voice) as page:
        page.get_by_role("button", name="Voice and speed").click()
        page.get_by_label("Voice", exact=True).click()
        page.get_by_role("option", name="German").click()
        page.get_by_role("button", name="Try an example").click()
        expect(log(page)).to_contain_text("It jumps.")
    assert voice.requests[0].voice == "de"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(scheme: str) -> None:
    with opened(FakeVoiceChat(), viewport={"width": 360, "height": 740}, color_scheme=scheme) as page:
        page.get_by_role("button", name="Try an example").click()
        expect(log(page)).to_contain_text("It jumps.")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        expect(page.locator(".ray-mic-button")).to_be_in_viewport()
