"""The voice page with documents, against a session that the test plays: the setting, numbers, sources."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from starlette.routing import WebSocketRoute

from tests.browser.voice_page import Doorway, entry, live, said, type_text
from tests.document_pages import library
from tests.fake_door import FakeDoor, answer
from tests.ui_server import mount, served_app

TEXT = "Children pay half of the price."
ANSWER = "Children pay half [1]. Nobody knows more [7]."


class Library(Doorway):
    """The page over a library."""

    def __init__(self, clients: Any) -> None:
        super().__init__()
        self.clients = clients

    def build(self) -> Any:
        app = super().build()
        app.router.routes.clear()
        app.router.routes.append(WebSocketRoute("/v1/realtime", self._converse))
        mount(app, self.clients, ["voice"])
        return app


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    with library(tmp_path_factory.mktemp("shelf")) as clients:
        shelf = Library(clients)
        with served_app(shelf.build) as shelf.address:
            yield shelf


def opened(shelf: Library, chromium: Browser) -> Page:
    shelf.door = FakeDoor()
    page = chromium.new_context().new_page()
    page.goto(f"{shelf.address}/ui/voice/")
    expect(live(page)).to_have_attribute("data-state", "idle")
    return page


def add(page: Page, collection: str, name: str) -> dict[str, Any]:
    """Add a document through the door; the collection and the document."""
    v1 = f"{page.url.split('/ui/')[0]}/v1"
    found = page.request.get(f"{v1}/collections").json()["data"]
    here = next((one for one in found if one["name"] == collection), None)
    here = here or page.request.post(f"{v1}/collections", data={"name": collection}).json()
    file: Any = {"name": name, "mimeType": "text/plain", "buffer": TEXT.encode()}
    report = page.request.post(f"{v1}/collections/{here['id']}/documents", multipart={"files": file})
    return {"collection": here["id"], **report.json()["added"][0]["document"]}


def test_without_documents_there_is_nothing_to_set(shelf: Library, chromium: Browser) -> None:
    page = opened(shelf, chromium)
    type_text(page, "Hello")
    assert "knowledge" not in shelf.door.wait("session.update")["session"]["raydio"]
    page.get_by_text("Settings").click()
    expect(page.locator("select[name=documents]")).to_be_hidden()


def test_answers_may_use_documents_and_open_them(shelf: Library, chromium: Browser) -> None:
    page = opened(shelf, chromium)
    prices, other = add(page, "Documents", "prices.txt"), add(page, "Other", "other.txt")
    page.reload()
    page.get_by_text("Settings").click()
    page.locator("select[name=documents]").select_option("documents_only")
    page.get_by_role("checkbox", name="Other").uncheck()
    type_text(page, "Who pays half?")
    told = shelf.door.wait("session.update")["session"]["raydio"]["knowledge"]
    assert told == {"mode": "documents_only", "collections": [prices["collection"]]}
    assert other["collection"] != prices["collection"]

    source = {
        "id": "s", "title": "prices.txt", "text": TEXT, "score": 0.5, "headings": ["Tickets"],
        "url": f"v1/documents/{prices['id']}/pages/1?start=0&end=17",
    }  # fmt: skip
    shelf.door.say({"type": "raydio.sources", "response_id": "resp", "item_id": "it", "sources": [source]})
    shelf.door.say(*answer("it", ANSWER, 0.2))
    expect(said(page, "assistant")).to_have_text(ANSWER)
    expect(said(page, "assistant").locator("a")).to_have_text("[1]")
    expect(entry(page, "it").get_by_role("list", name="Sources")).to_contain_text("prices.txt · Tickets 0.50")
    for link in (said(page, "assistant").locator("a"), entry(page, "it").locator("a.ray-source")):
        link.click()
        shown = page.frame_locator("dialog.ray-viewer iframe")
        expect(shown.locator("mark")).to_have_text("Children pay half")
        page.keyboard.press("Escape")
        expect(page.locator("dialog.ray-viewer")).to_be_hidden()
