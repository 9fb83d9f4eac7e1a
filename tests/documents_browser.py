"""The chat page with documents in a real Chromium: how tests open it and what they look at."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, FrameLocator, Locator, Page, expect, sync_playwright
from starlette.datastructures import Headers
from starlette.requests import cookie_parser

from serve_apps.access import USER
from serve_apps.contracts import Clients
from serve_apps.wire import StageReport, Vectors
from tests.document_pages import library
from tests.fake_clients import FakeEmbeddings, card
from tests.pdf_files import made_pdf
from tests.ui_server import mount, served_app

PAGES = (
    "# Opening hours\n\nThe observatory opens at nine in the evening.",
    "# Tickets\n\nA ticket for the observatory costs twelve euros. Children pay half.",
)
HANDBOOK = made_pdf(PAGES, "Handbook")
PATIENCE_MS = 30_000
"""A PDF is read and drawn in processes of their own: on a crowded machine that takes its time."""
QUESTION = "What does a ticket for the observatory cost?"
_NUMBERS = itertools.count()


class HeldEmbeddings(FakeEmbeddings):
    """Embeds nothing about the observatory while it is held. Held and let go from another thread."""

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()
        self.free.set()
        self.model = card("embeddings").model
        """What it calls itself."""

    async def describe(self) -> StageReport:
        told = await super().describe()
        return replace(told, card=replace(told.card, model=self.model))

    async def embed(self, texts: Sequence[str]) -> Vectors:
        if any("observatory" in text for text in texts):
            await asyncio.to_thread(self.free.wait)
        return await super().embed(texts)


class _ByCookie:
    """Takes the user from a cookie: every test is somebody else."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        cookies = cookie_parser(Headers(scope=scope).get("cookie", "")) if "headers" in scope else {}
        await self._app({**scope, USER: cookies.get("user", "owner")}, receive, send)


class Site:
    """Pages on a server, and a browser in front of it."""

    def __init__(self, clients: Clients, browser: Browser, embeddings: HeldEmbeddings) -> None:
        self.clients = clients
        self.embeddings = embeddings
        self._browser = browser
        self.address = ""

    def build(self) -> FastAPI:
        app = FastAPI()
        mount(app, self.clients, ["chat", "voice"])
        app.add_middleware(_ByCookie)
        return app

    @contextmanager
    def opened(
        self, query: str = "", *, user: str = "", name: str = "chat", **options: Any
    ) -> Iterator[Page]:
        """A page in a window of its own; `user` is somebody new unless it is said."""
        cookie: Any = {"name": "user", "value": user or f"user{next(_NUMBERS)}", "url": self.address}
        with self._browser.new_context(**options) as window:
            window.add_cookies([cookie])
            page = window.new_page()
            page.goto(f"{self.address}/ui/{name}/{query}")
            yield page


@contextmanager
def site(folder: Path, browser: Browser) -> Iterator[Site]:
    """Serve the pages over a library in `folder`."""
    embeddings = HeldEmbeddings()
    expect.set_options(timeout=PATIENCE_MS)
    with library(folder, embeddings=embeddings) as clients:
        served = Site(clients, browser, embeddings)
        with served_app(served.build) as served.address:
            try:
                yield served
            finally:
                embeddings.free.set()
                expect.set_options(timeout=5_000)


def panel(page: Page) -> Locator:
    """The drawer, opened if need be."""
    drawer = page.locator(".ray-docs")
    page.locator(".ray-docs-open").wait_for()
    if drawer.is_hidden():
        page.locator(".ray-docs-open").click()
    expect(page.locator(".ray-docs-collections > ul > li")).not_to_have_count(0)
    return drawer


def give(page: Page, files: dict[str, bytes]) -> None:
    """Choose files."""
    chosen: Any = [{"name": n, "mimeType": "application/octet-stream", "buffer": d} for n, d in files.items()]
    page.locator(".ray-docs-files").set_input_files(chosen)


def listed(page: Page) -> Locator:
    """The rows of the list."""
    return page.locator(".ray-docs-document")


def ask(page: Page, question: str = QUESTION) -> Locator:
    """Send a question; the citations of the answer."""
    page.locator("#ray-box textarea").fill(question)
    page.locator("#ray-box textarea").press("Enter")
    return page.locator("a.ray-cite")


def passage(page: Page) -> FrameLocator:
    """What the viewer shows."""
    expect(page.locator("dialog.ray-viewer")).to_have_attribute("open", "")
    return page.frame_locator("dialog.ray-viewer iframe")


# ---- for test modules, by import ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def house(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("house"), browser) as house:
        yield house


@pytest.fixture
def chat(house: Site) -> Iterator[Page]:
    """The chat page of somebody without documents, its panel open."""
    house.embeddings.free.set()
    with house.opened() as page:
        panel(page)
        yield page
