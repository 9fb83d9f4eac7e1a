"""The embeddings page over a real knowledge stage, behind a door that reads the user from a header."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from playwright.sync_api import Page, expect
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_apps import access
from serve_apps.args import IngestArgs
from serve_apps.contracts_knowledge import Knowledge
from serve_apps.ingest import IngestConductor
from tests.fake_clients import FakeEmbeddings, FakeStt, fake_clients
from tests.knowledge import made_knowledge
from tests.ui_server import mount, served_app

USER = "x-user"
Fill = Callable[[Knowledge, FakeEmbeddings], Coroutine[Any, Any, None]]


class Named:
    """Middleware: the user is who the header says, as a proxy in front would."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            scope[access.USER] = headers.get(USER.encode(), access.OWNER.encode()).decode()
        await self._app(scope, receive, send)


@contextmanager
def collections_page(folder: Path, fill: Fill, **replaced: Any) -> Iterator[str]:
    """Serve the page on what `fill` puts into a fresh stage; yields the server's address."""
    stage = made_knowledge(folder)
    embeddings = FakeEmbeddings()
    with ThreadPoolExecutor(1) as filling:  # this thread's loop is Playwright's
        filling.submit(lambda: asyncio.run(fill(stage, embeddings))).result()
    running = replaced.pop("embeddings", embeddings)
    ingest = IngestConductor(FakeStt(), running, stage, IngestArgs())
    clients = fake_clients(knowledge=stage, ingest=ingest, embeddings=running, **replaced)

    def build() -> FastAPI:
        app = FastAPI()
        mount(app, clients, ["embeddings"])
        app.add_middleware(Named)
        return app

    try:
        with served_app(build) as address:
            yield address
    finally:
        stage.close()


def opened(page: Page, address: str) -> None:
    """The page, with its collections read."""
    page.goto(f"{address}/ui/embeddings/")
    expect(page.locator(".ray-library, .ray-library-empty").first).to_be_visible()


def ask(page: Page, query: str) -> None:
    """Search, and wait for the columns."""
    box = page.locator("#ray-question textarea")
    box.fill(query)
    box.press("Enter")
    expect(page.locator(f'.ray-board[data-query="{query}"]')).to_be_visible()
