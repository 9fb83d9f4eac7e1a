"""A conversation in a real browser, hands free: a microphone plays a recorded dialogue to the whole product.

Two questions, a pause inside the second, an interruption of its answer. Moonshine listens, espeak-ng speaks,
a scripted model answers; what happened is read from the page, and from what the model was asked.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

from tests import product as running
from tests.browser.voice_page import STOPPED_WITHIN_MS
from tests.dialogue import (
    DIALOGUE,
    FIRST,
    FIRST_ANSWER,
    INTERRUPTION,
    LAST_ANSWER,
    SECOND,
    SECOND_ANSWER,
    microphone,
    word_errors,
)
from tests.live import applications
from tests.product import Product
from tests.serve.engines import told

TURN_MS = 30_000
SPANS = {"silence", "transcript", "first token", "first audio"}
WATCH = """
window.spoken = {};
new MutationObserver((changes) => {
  for (const { target } of changes) {
    if (!target.classList?.contains("ray-now")) continue;
    const item = target.closest(".ray-live-entry").dataset.item;
    const words = (window.spoken[item] ??= []);
    if (words.at(-1) !== target.textContent) words.push(target.textContent);
  }
}).observe(document, { subtree: true, attributeFilter: ["class"] });
"""
"""Keeps every word that was ever marked as the one that sounds, by item."""


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("llm") / "events.log"


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory, log: Path) -> Iterator[Product]:
    """`raydio up` with a model whose answers are known."""
    home = tmp_path_factory.mktemp("home")
    config = home / "live.yaml"
    config.write_text(json.dumps(applications(log, "home", "voice")))
    started = running.start(home, str(config))
    yield started
    running.stop(started)


@pytest.fixture
def talking(tmp_path: Path) -> Iterator[Page]:
    """A browser whose microphone plays the dialogue once, from the moment that it is opened."""
    flags = ("--no-sandbox", *microphone(tmp_path / "dialogue.wav"))
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield browser.new_page()
        browser.close()


def entry(page: Page, role: str, n: int) -> Locator:
    return page.locator(f".ray-live-entry[data-role={role}]").nth(n)


def understood(page: Page, n: int) -> None:
    """The n-th thing that was said stands there word for word."""
    said = entry(page, "user", n)
    expect(said).to_have_attribute("data-final", "true", timeout=TURN_MS)
    heard = said.locator(".ray-live-text").inner_text()
    assert word_errors(heard, DIALOGUE[n].text) == 0, heard


def test_a_dialogue_hands_free(talking: Page, scripted: Product, log: Path) -> None:
    page = talking
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.add_init_script(WATCH)
    page.goto(scripted.page("/ui/voice/"))
    live = page.locator(".ray-live")
    expect(live).to_have_attribute("data-state", "idle", timeout=TURN_MS)
    page.locator(".ray-live-mic").click()

    understood(page, 0)
    first = entry(page, "assistant", 0)
    expect(first.locator(".ray-now")).to_be_visible(timeout=TURN_MS)
    expect(live).to_have_attribute("data-state", "speaking")
    expect(first.locator(".ray-live-text")).to_have_text(FIRST_ANSWER)
    expect(live).to_have_attribute("data-state", "listening", timeout=TURN_MS)
    expect(first.locator(".ray-fall")).to_be_attached()

    understood(page, 1)  # the pause did not cut it in two
    second = entry(page, "assistant", 1)
    expect(second.locator(".ray-now")).to_be_visible(timeout=TURN_MS)
    expect(second).to_have_attribute("data-interrupted", "interrupted", timeout=TURN_MS)

    understood(page, 2)
    last = entry(page, "assistant", 2)
    expect(last.locator(".ray-live-text")).to_have_text(LAST_ANSWER, timeout=TURN_MS)
    expect(live).to_have_attribute("data-state", "listening", timeout=TURN_MS)

    assert_told(page, log)
    assert_followed(page)
    assert_measured(page)
    expect(page.locator(".ray-live-entry")).to_have_count(2 * len(DIALOGUE))
    assert errors == []


def assert_told(page: Page, log: Path) -> None:
    """Only what was heard is remembered, and the model has stopped writing the rest."""
    second = entry(page, "assistant", 1)
    unheard = "".join(second.locator("s").all_text_contents())
    whole = str(second.locator(".ray-live-text").text_content())
    heard = whole.removesuffix(unheard).strip()
    assert unheard
    assert SECOND_ANSWER.startswith(whole.strip())
    started = [line["messages"] for line in told(log) if line["event"] == "started"]
    texts = [message["content"] for message in started[-1] if message["role"] != "system"]
    assert texts == [FIRST.text, FIRST_ANSWER, texts[2], heard, INTERRUPTION.text]
    assert word_errors(texts[2], SECOND.text) == 0
    stopped = [line for line in told(log) if line["event"] == "stopped" and line["question"] == texts[2]]
    assert stopped[-1]["n_words"] < len(SECOND_ANSWER.split())


def assert_followed(page: Page) -> None:
    """The words were marked one after another while they sounded."""
    marked: dict[str, list[str]] = page.evaluate("window.spoken")
    first, second, last = list(marked.values())
    assert covered(first, FIRST_ANSWER)
    assert covered(last, LAST_ANSWER)
    assert SECOND_ANSWER.startswith(second[0])
    assert len(second) < len(SECOND_ANSWER.split())


def covered(marked: list[str], text: str) -> bool:
    """In order, and hardly a word left out: a frame of the screen may be longer than `is`."""
    words = text.split()
    rest = iter(words)
    return all(any(word == said for said in rest) for word in marked) and len(marked) >= len(words) - 2


def assert_measured(page: Page) -> None:
    """Silence after an interruption, no gaps, each turn's waterfall, and both quantiles."""
    told_by_page: dict[str, Any] = page.locator(".ray-live").evaluate("(live) => ({ ...live.dataset })")
    assert float(told_by_page["stoppedMs"]) < STOPPED_WITHIN_MS
    assert told_by_page["underruns"] == "0"
    assert told_by_page["turns"] == "3"
    assert 0 < float(told_by_page["p50Ms"]) <= float(told_by_page["p95Ms"])
    for n in range(3):
        rows = entry(page, "assistant", n).locator(".ray-fall [data-span]")
        names = set(rows.evaluate_all("(rows) => rows.map((row) => row.dataset.span)"))
        assert names >= SPANS if n != 1 else names, names
