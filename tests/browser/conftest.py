"""What this folder's tests share: the whole product, and the voice page over a session that a test plays."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from serve_apps.media import encode, read
from tests import product as running
from tests.browser.voice_page import Doorway, doorway, launched, opened, playing, start, type_text
from tests.fake_door import FakeDoor
from ui.live import SAMPLE


@pytest.fixture(scope="package")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[running.Product]:
    """`raydio up --detach` with the default config: real engines on real weights."""
    started = running.start(tmp_path_factory.mktemp("home"))
    yield started
    running.stop(started)


@pytest.fixture(scope="module")
def way() -> Iterator[Doorway]:
    with doorway() as way:
        yield way


@pytest.fixture
def door(way: Doorway) -> FakeDoor:
    way.door = FakeDoor()
    return way.door


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def chromium(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser whose microphone hears the example question again and again."""
    speech = tmp_path_factory.mktemp("speech") / "speech.wav"
    speech.write_bytes(encode(read(SAMPLE, rate_hz=48_000), "wav"))
    with launched(playwright, *playing(speech, once=False)) as chromium:
        yield chromium


@pytest.fixture
def talking(way: Doorway, door: FakeDoor, chromium: Browser) -> Iterator[Page]:
    """The page, listening."""
    with opened(way, chromium) as page:
        start(page)
        door.wait("session.update")
        door.wait_until(lambda: door.heard_s > 0.6)
        yield page


@pytest.fixture
def typing(way: Doorway, door: FakeDoor, chromium: Browser) -> Iterator[Page]:
    """The page with its microphone off, a question typed and an answer awaited."""
    with opened(way, chromium) as page:
        type_text(page, "How do rainbows form?")
        door.wait("response.create")
        yield page
