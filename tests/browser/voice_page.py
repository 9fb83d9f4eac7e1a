"""The voice page in a real Chromium with a fake microphone: how tests open it and what they look at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from playwright.sync_api import Browser, Locator, Page, Playwright, expect
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from tests.fake_clients import fake_clients
from tests.fake_door import FakeDoor
from tests.ui_server import mount, served_app

RAINBOW = "Rainbows form when sunlight enters raindrops and splits into many colours."
"""What the fake session answers."""
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
STOPPED_WITHIN_MS = 100
"""From the word that the person speaks to the page's silence."""
MICROPHONE = ("--use-fake-device-for-media-stream",)
ALLOWED = (*MICROPHONE, "--use-fake-ui-for-media-stream")


def playing(speech: Path, *, once: bool = True) -> tuple[str, ...]:
    """Flags for a microphone that hears this file, then silence."""
    return (*ALLOWED, f"--use-file-for-fake-audio-capture={speech}{'%noloop' if once else ''}")


@contextmanager
def launched(playwright: Playwright, *flags: str) -> Iterator[Browser]:
    """A browser of its own, because a fake microphone belongs to the browser."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", *flags])
    yield browser
    browser.close()


class Doorway:
    """The page on a server that outlives its sessions: whoever is `door` plays the next ones."""

    def __init__(self) -> None:
        self.door = FakeDoor()
        self.address = ""

    async def _converse(self, socket: WebSocket) -> None:
        await self.door.endpoint(socket)

    def build(self) -> FastAPI:
        """The page and the WebSocket that it opens."""
        app = FastAPI()
        app.router.routes.append(WebSocketRoute("/v1/realtime", self._converse))
        mount(app, fake_clients(), ["voice"])
        return app


@contextmanager
def doorway() -> Iterator[Doorway]:
    """Serve the page."""
    way = Doorway()
    with served_app(way.build) as way.address:
        yield way


@contextmanager
def opened(way: Doorway, chromium: Browser, script: str = KEEP_STREAMS, **context: Any) -> Iterator[Page]:
    """The page in a window of its own."""
    with chromium.new_context(**context) as window:
        page = window.new_page()
        page.add_init_script(script)
        page.goto(f"{way.address}/ui/voice/")
        is_now(page, "idle")
        yield page


def live(page: Page) -> Locator:
    """The element that says how it goes."""
    return page.locator(".ray-live")


def is_now(page: Page, state: str) -> None:
    """Wait for a state."""
    expect(live(page)).to_have_attribute("data-state", state)


def fact(page: Page, name: str) -> str:
    """One of the element's data attributes."""
    return live(page).get_attribute(f"data-{name}") or ""


def entry(page: Page, item_id: str) -> Locator:
    """A message of the log."""
    return page.locator(f'.ray-live-entry[data-item="{item_id}"]')


def said(page: Page, role: str) -> Locator:
    """The texts of one side."""
    return page.locator(f'.ray-live-entry[data-role="{role}"] .ray-live-text')


def start(page: Page) -> None:
    """Begin to talk."""
    page.get_by_role("button", name="Start conversation").click()
    is_now(page, "listening")


def type_text(page: Page, text: str) -> None:
    """Send a written message."""
    page.get_by_label("Message").fill(text)
    page.keyboard.press("Enter")
