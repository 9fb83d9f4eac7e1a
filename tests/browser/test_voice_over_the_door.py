"""The voice page over a real session: Silero hears the microphone's file, fakes think and speak."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect, sync_playwright
from starlette.types import ASGIApp

from serve_apps.args import FrontArgs
from serve_apps.front import build
from serve_apps.ingress import behind_door
from serve_apps.media import encode, read
from serve_apps.settings import settings
from serve_apps.wire import Audio, AudioSegment, TextDelta, TurnEvent
from tests.browser.voice_page import (
    STOPPED_WITHIN_MS,
    fact,
    is_now,
    launched,
    live,
    playing,
    said,
    start,
    type_text,
)
from tests.fake_clients import TRANSCRIPT, FakeVoiceChat, fake_clients, hum
from tests.ui_server import served_app
from ui.live import SAMPLE

TOKEN = "t0ken-of-this-installation"
ANSWER = " ".join(FakeVoiceChat.clauses)
STORY = "Once upon a time there was a fox who liked to jump over dogs that were lazy, and it went on and on."
PATIENCE_MS = 20_000


class Storyteller(FakeVoiceChat):
    """Has said twenty seconds, and comes to no end."""

    async def _events(self) -> Any:
        event: TurnEvent
        for event in (
            TextDelta(text=STORY),
            AudioSegment(index=0, text=STORY, spoken=STORY, audio=hum(20.0)),
        ):
            yield event
        await asyncio.Event().wait()


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYDIO_TOKEN", TOKEN)
    settings.cache_clear()


@contextmanager
def over_the_door(voice: FakeVoiceChat, microphone: tuple[str, ...]) -> Iterator[Page]:
    """The page as it is served: behind the door, with its token and its Content-Security-Policy."""

    def front() -> ASGIApp:
        return behind_door(build(FrontArgs(pages=("voice",)), fake_clients(voice=voice)))

    with served_app(front) as address, sync_playwright() as p, launched(p, *microphone) as chromium:
        page = chromium.new_page()
        page.goto(f"{address}/ui/voice/?token={TOKEN}")
        is_now(page, "idle")
        yield page


def spoken(path: Path, *starts_s: float) -> tuple[str, ...]:
    """A microphone that hears the example question at these times, and nothing else."""
    question = read(SAMPLE, rate_hz=48_000).samples
    heard = np.zeros(int((starts_s[-1] + 60) * 48_000), np.float32)
    for start_s in starts_s:
        at = int(start_s * 48_000)
        heard[at : at + len(question)] = question
    path.write_bytes(encode(Audio(samples=heard, rate_hz=48_000), "wav"))
    return playing(path)


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    return tmp_path / "microphone.wav"


def test_a_question_is_heard_and_answered(wav: Path) -> None:
    voice = FakeVoiceChat()
    with over_the_door(voice, spoken(wav, 1.0)) as page:
        start(page)
        expect(live(page)).to_have_attribute("data-state", "hearing", timeout=PATIENCE_MS)
        expect(said(page, "user")).to_have_text(TRANSCRIPT, timeout=PATIENCE_MS)
        expect(said(page, "assistant")).to_have_text(ANSWER, timeout=PATIENCE_MS)
        expect(page.locator(".ray-live-where summary")).to_contain_text("Heard after", timeout=PATIENCE_MS)
        expect(live(page)).to_have_attribute("data-played-ms", "800.0", timeout=PATIENCE_MS)
        assert page.locator(".ray-live-where").get_by_text("silence").count() == 1
        page.locator(".ray-live-where summary").click()
        spans = page.locator("[data-span]").evaluate_all("rows => rows.map(row => row.dataset.span)")
        assert spans[:2] == ["silence", "transcript"]
        assert fact(page, "underruns") == "0"
        # From the last sound of the question to the first of the answer: the silence and not much more.
        assert 200 < float(fact(page, "p50-ms")) < 5_000
        seconds = float(page.locator('[data-role="user"] .ray-live-replay').inner_text().split()[1])
        assert seconds == pytest.approx(read(SAMPLE).duration_s, abs=0.7)


def test_speech_interrupts_the_answer_and_the_model_learns_what_was_heard(wav: Path) -> None:
    voice = Storyteller()
    with over_the_door(voice, spoken(wav, 1.0, 9.0)) as page:
        start(page)
        expect(live(page)).to_have_attribute("data-state", "speaking", timeout=PATIENCE_MS)
        first = page.locator('[data-role="assistant"]').first
        expect(first).to_have_attribute("data-interrupted", "interrupted", timeout=PATIENCE_MS)
        assert float(fact(page, "stopped-ms")) < STOPPED_WITHIN_MS
        unheard = first.locator("s").all_inner_texts()
        assert 0 < len("".join(unheard)) < len(STORY)
        expect(said(page, "user")).to_have_count(2, timeout=PATIENCE_MS)
        expect(said(page, "user").last).to_have_text(TRANSCRIPT, timeout=PATIENCE_MS)
        expect(page.locator('[data-role="assistant"]')).to_have_count(2, timeout=PATIENCE_MS)
        assert voice.n_closed == 1, "the model is stopped"
        heard = [m.content for m in voice.requests[-1].turn.messages if m.role == "assistant"]
        assert len(heard) == 1
        assert STORY.startswith(heard[0])
        assert STORY.removeprefix(heard[0]).split() == " ".join(unheard).split()


def test_typing_needs_no_microphone_and_a_drop_loses_nothing() -> None:
    voice = FakeVoiceChat()
    with over_the_door(voice, ()) as page:
        type_text(page, "Hello there")
        expect(said(page, "assistant")).to_have_text(ANSWER, timeout=PATIENCE_MS)
        is_now(page, "ready")
        session = fact(page, "session")
        page.context.set_offline(True)
        is_now(page, "reconnecting")
        type_text(page, "Still there?")
        page.context.set_offline(False)
        expect(said(page, "assistant")).to_have_count(2, timeout=PATIENCE_MS)
        assert fact(page, "session") == session
        expect(said(page, "problem")).to_have_count(0)
    contents = [m.content for m in voice.requests[-1].turn.messages]
    assert [contents[0], contents[-1]] == ["Hello there", "Still there?"]


def test_the_example_is_understood_without_a_microphone() -> None:
    with over_the_door(FakeVoiceChat(), ()) as page:
        page.get_by_role("button", name="Try an example").click()
        expect(said(page, "user")).to_have_text(TRANSCRIPT, timeout=PATIENCE_MS)
        expect(said(page, "assistant")).to_have_text(ANSWER, timeout=PATIENCE_MS)
        is_now(page, "ready")


def test_an_answer_can_be_stopped_and_asked_again() -> None:
    voice = Storyteller()
    with over_the_door(voice, ()) as page:
        type_text(page, "Tell me a story")
        expect(live(page)).to_have_attribute("data-state", "speaking", timeout=PATIENCE_MS)
        page.keyboard.press("Escape")
        stopped = page.locator('[data-role="assistant"]')
        expect(stopped).to_have_attribute("data-interrupted", "stopped")
        page.get_by_role("button", name="Ask again").click()
        expect(live(page)).to_have_attribute("data-state", "speaking", timeout=PATIENCE_MS)
        expect(stopped).to_have_count(1)
        expect(said(page, "problem")).to_have_count(0)
    assert [m.content for m in voice.requests[-1].turn.messages] == ["Tell me a story"]


def test_push_to_talk(wav: Path) -> None:
    with over_the_door(FakeVoiceChat(), spoken(wav, 0.0)) as page:
        start(page)
        page.keyboard.down("Space")
        is_now(page, "hearing")
        page.wait_for_function(
            "began => performance.now() - began > 1500", arg=page.evaluate("performance.now()")
        )
        page.keyboard.up("Space")
        expect(said(page, "user")).to_have_text(TRANSCRIPT, timeout=PATIENCE_MS)
        expect(said(page, "assistant")).to_have_text(ANSWER, timeout=PATIENCE_MS)
        expect(said(page, "problem")).to_have_count(0)
