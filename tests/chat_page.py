"""The chat page with stored conversations over a fake chat, and what a person does on it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from playwright.sync_api import Locator, Page, expect

from serve_apps.database import opened
from tests.conversations import made_conversations, sqlite_url
from tests.fake_clients import FakeChat, fake_clients
from tests.ui_server import mount, served_app

Behind = Callable[[FastAPI], Any]


@contextmanager
def served_chat(
    chat: FakeChat | None = None, *pages: str, door: Behind | None = None, **limits: Any
) -> Iterator[str]:
    """Serve the chat page (or `pages`) over its own database.

    Args:
        chat: what answers.
        pages: words.
        door: puts something in front of everything.
        limits: those of ConversationsArgs.
    """
    chat = chat or FakeChat()
    with tempfile.TemporaryDirectory() as folder:
        database = opened(sqlite_url(Path(folder)))
        conversations = made_conversations(Path(folder), chat, database=database, **limits)
        clients = fake_clients(chat=chat, conversations=conversations)

        def build() -> Any:
            app = FastAPI()
            mount(app, clients, pages or ("chat",))
            return door(app) if door else app

        with served_app(build) as address:
            yield address
        database.dispose()


def visit(page: Page, address: str, query: str = "") -> None:
    """Open the page."""
    page.goto(f"{address}/ui/chat/{query}")
    expect(page.get_by_role("button", name="Send")).to_be_visible()


def ask(page: Page, text: str) -> None:
    """Send a message."""
    box = page.get_by_role("textbox", name="Message")
    box.fill(text)
    box.press("Enter")


def answered(page: Page, n_answers: int = 1) -> None:
    """Wait until so many answers on the page have their numbers, and the box takes another question."""
    expect(page.get_by_text("tok/s")).to_have_count(n_answers)
    expect(page.get_by_role("button", name="Send")).to_be_visible()


def say(page: Page, *texts: str) -> None:
    """A conversation of some questions with their answers."""
    for n, text in enumerate(texts, start=1):
        ask(page, text)
        answered(page, n)


def items(page: Page) -> Locator:
    """The lines of the list."""
    return page.locator(".ray-chat-item")


def item(page: Page, title: str) -> Locator:
    """One of them."""
    return items(page).filter(has_text=title)


def choose(page: Page, title: str, entry: str) -> None:
    """Something in a line's menu."""
    item(page, title).hover()
    page.get_by_role("button", name=f"Options for {title}").click()
    page.get_by_role("menuitem", name=entry).click()


def until(page: Page, true: Callable[[], bool], deadline_ms: int = 10_000) -> None:
    """Wait on a condition of this process while the browser goes on."""
    for _ in range(deadline_ms // 20):
        if true():
            return
        page.wait_for_timeout(20)
    raise AssertionError("It did not become true.")
