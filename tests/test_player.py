"""The player: what Python hands over, and what a real Chromium does with it."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

import gradio as gr
import numpy as np
import pytest
from fastapi import FastAPI
from playwright.sync_api import Page, expect

from serve_apps.wire import Audio
from tests.fake_clients import hum
from tests.ui_server import served_app
from ui.player import FIRST_S, PULL_S, STOP_JS, PlayerStream, player
from ui.work import Work

RATE_HZ = 22_050


def counted(n_samples: int, start: int = 0) -> Audio:
    """Samples that say where they are."""
    numbers = (np.arange(start, start + n_samples) % 30_000).astype(np.float32)
    return Audio(samples=numbers / np.float32(32_767), rate_hz=RATE_HZ)


def numbers(pcm: str) -> list[int]:
    return np.frombuffer(base64.b64decode(pcm), "<i2").tolist()


# ---- the stream


async def test_the_value_brings_the_first_sound_and_then_stays_the_same() -> None:
    stream = PlayerStream()
    assert stream.value() is None
    stream.add(counted(1000))
    value = stream.value()
    assert value is not None
    assert numbers(value["pcm"]) == list(range(1000))
    assert value["rate_hz"] == RATE_HZ
    stream.add(counted(100_000))
    assert stream.value() is value


async def test_the_value_is_short_however_much_is_there() -> None:
    stream = PlayerStream()
    stream.add(counted(10 * RATE_HZ))
    value = stream.value()
    assert value is not None
    assert len(numbers(value["pcm"])) == int(FIRST_S * RATE_HZ)


async def test_asking_on_gives_everything_once_and_in_order() -> None:
    stream, heard = PlayerStream(), list[int]()
    for start in range(0, 200_000, 5_000):
        stream.add(counted(5_000, start))
    stream.finish()
    done = False
    while not done:
        answer = await stream.answer(len(heard))
        piece = numbers(answer["pcm"])
        assert len(piece) <= PULL_S * RATE_HZ
        heard += piece
        done = answer["done"]
    assert heard == [n % 30_000 for n in range(200_000)]


async def test_a_question_waits_for_sound() -> None:
    stream = PlayerStream()
    stream.add(counted(10))
    question = asyncio.create_task(stream.answer(10))
    await asyncio.sleep(0)
    stream.add(counted(5, 10))
    assert await question == {
        "pcm": base64.b64encode(np.arange(10, 15, dtype="<i2").tobytes()).decode(),
        "done": False,
    }
    question = asyncio.create_task(stream.answer(15))
    await asyncio.sleep(0)
    stream.finish()
    assert await question == {"pcm": "", "done": True}


async def test_leaving_the_block_finishes_also_on_errors() -> None:
    stream = PlayerStream()
    stream.add(counted(10))
    with pytest.raises(ValueError, match="broke"), stream:
        raise ValueError("it broke")
    assert (await stream.answer(0))["done"]


async def test_another_rate_is_changed_to_the_first() -> None:
    stream = PlayerStream()
    stream.add(hum(1.0, rate_hz=16_000))
    stream.add(hum(1.0, rate_hz=48_000))
    assert stream.duration_s == pytest.approx(2.0, abs=0.01)
    assert stream.value() is not None


# ---- in the browser


SOUND_S = 1.2


def blocks() -> gr.Blocks:
    """A player with three buttons: sound, endless sound, stop."""
    work = Work()

    async def speak() -> object:
        with PlayerStream() as stream:
            for _ in range(round(SOUND_S / 0.1)):
                stream.add(hum(0.1))
                yield stream.value(), ""

    async def endless() -> AsyncGenerator[dict[str, Any] | None, None]:
        with PlayerStream() as stream:
            try:
                while True:
                    stream.add(hum(0.1))
                    yield stream.value()
                    await asyncio.sleep(0.05)
            finally:
                ended.append(stream.duration_s)

    async def hold(request: gr.Request) -> AsyncGenerator[object, None]:
        value = None
        async with aclosing(work.of(request, endless())) as steps:
            async for batch in steps:
                value = batch[-1] if batch else value
                yield value, "running"
        yield value, "stopped"

    async def stop(request: gr.Request) -> None:
        work.stop(request)

    with gr.Blocks() as page:
        speech, said = player(), gr.Textbox(elem_id="said")
        gr.Button("Speak").click(speak, None, [speech, said])
        gr.Button("Hold").click(hold, None, [speech, said])
        gr.Button("Quiet").click(stop, None, None, js=STOP_JS, queue=False)
        speech.stop(stop, None, None, queue=False)
    return page


ended: list[float] = []


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with served_app(lambda: gr.mount_gradio_app(FastAPI(), blocks(), path="/ui/player")) as url:
        yield f"{url}/ui/player/"


def opened(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator(".ray-player")).to_have_attribute("data-state", "idle")


def has(page: Page, state: str) -> None:
    expect(page.locator(".ray-player")).to_have_attribute("data-state", state, timeout=15_000)


def played_s(page: Page) -> float:
    return float(page.locator(".ray-player").get_attribute("data-played-s") or 0)


def test_plays_all_of_it_while_it_is_made_and_again(page: Page, address: str) -> None:
    opened(page, address)
    page.get_by_role("button", name="Speak").click()
    has(page, "playing")
    has(page, "done")
    assert played_s(page) == pytest.approx(SOUND_S, abs=0.05)
    first_audio_ms = float(page.locator(".ray-player").get_attribute("data-first-audio-ms") or 0)
    assert 0 < first_audio_ms < 3000  # 60 ms on an idle machine
    page.get_by_role("button", name="Play again").click()
    has(page, "playing")
    has(page, "done")
    assert played_s(page) == pytest.approx(SOUND_S, abs=0.05)


def test_pauses_and_goes_on(page: Page, address: str) -> None:
    opened(page, address)
    page.get_by_role("button", name="Hold").click()
    page.get_by_role("button", name="Pause").click()
    has(page, "paused")
    at = played_s(page)
    page.get_by_role("button", name="Play", exact=True).click()
    has(page, "playing")
    page.wait_for_function(f"document.querySelector('.ray-player').dataset.playedS > {at + 0.3}")


@pytest.mark.parametrize("button", ["Stop", "Quiet"])
def test_stop_silences_at_once_and_ends_the_handler(page: Page, address: str, button: str) -> None:
    ended.clear()
    opened(page, address)
    page.get_by_role("button", name="Hold").click()
    page.wait_for_function("document.querySelector('.ray-player').dataset.playedS > 0.2")
    page.get_by_role("button", name=button, exact=True).click()
    has(page, "done")
    expect(page.locator("#said textarea")).to_have_value("stopped")
    at = played_s(page)
    page.get_by_role("button", name="Speak").click()
    has(page, "playing")
    assert at < 30
    assert ended


def test_new_sound_replaces_the_old(page: Page, address: str) -> None:
    opened(page, address)
    page.get_by_role("button", name="Hold").click()
    has(page, "playing")
    page.get_by_role("button", name="Speak").click()
    has(page, "done")
    assert played_s(page) == pytest.approx(SOUND_S, abs=0.05)


def test_people_can_use_it_without_a_mouse(page: Page, address: str) -> None:
    opened(page, address)
    expect(page.get_by_role("group", name="Speech player")).to_be_visible()
    expect(page.get_by_role("button", name="Stop", exact=True)).to_be_disabled()
    page.get_by_role("button", name="Hold").press("Enter")
    has(page, "playing")
    page.get_by_role("button", name="Stop", exact=True).press("Space")
    has(page, "done")
    expect(page.get_by_role("timer")).to_have_text(re.compile(r"\d+:\d\d"))
