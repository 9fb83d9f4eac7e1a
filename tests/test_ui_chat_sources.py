"""An answer from documents on the chat page: citations, sources, notes, and all of it after a reload."""

from __future__ import annotations

from collections.abc import AsyncIterator

from playwright.sync_api import Page, expect

from serve_apps.errors import StageUnavailable
from serve_apps.wire import Source, SourcesFound, TextDelta, TurnEvent, TurnRequest
from tests.chat_page import answered, ask, served_chat, until, visit
from tests.fake_clients import FakeChat, turn_done

SOURCES = tuple(
    Source(id=str(n), title=f"tea.md, page {n}", text="Six spoons for six cups.", score=1 / n, url=url)
    for n, url in enumerate(("v1/documents/abc/pages/1?start=0&end=9", "https://evil.example/"), start=1)
)


class CitingChat(FakeChat):
    """Answers with citations of two sources, one of which leads nowhere of ours."""

    async def _events(self, request: TurnRequest) -> AsyncIterator[TurnEvent]:
        del request
        yield SourcesFound(sources=SOURCES)
        yield TextDelta(text="Six spoons [1], says one <img src=x> [2]; nobody says [7].")
        yield turn_done(9, notes=("Vector order used: there is no reranker.",))


def test_sources_and_notes_are_there_and_stay(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    with served_chat(CitingChat()) as address:
        visit(page, address)
        ask(page, "How many spoons?")
        for again in (False, True):
            if again:
                page.reload()
            answered(page)
            citation = page.locator(".ray-log a.ray-cite")
            expect(citation).to_have_count(1)
            expect(citation).to_have_attribute("href", "../../v1/documents/abc/pages/1?start=0&end=9")
            expect(page.get_by_text("Sources: 2 cited")).to_be_visible()
            expect(page.get_by_text("Vector order used")).to_be_visible()
            expect(page.locator(".ray-log .message-content img")).to_have_count(0)
        page.get_by_role("button", name="Copy message").last.click()
        copied = "async () => await navigator.clipboard.readText()"
        wanted = "Six spoons [1], says one <img src=x> [2]; nobody says [7]."
        until(page, lambda: str(page.evaluate(copied)).startswith(wanted))
        assert "ray-" not in page.evaluate(copied)


def test_a_failure_stays_with_what_to_do(page: Page) -> None:
    chat = FakeChat("Half an answer", end=StageUnavailable("llm", "The llm is starting.", "Try again soon."))
    with served_chat(chat) as address:
        visit(page, address)
        ask(page, "Hello")
        log = page.get_by_role("log")
        expect(log).to_contain_text("The llm is starting.")
        page.reload()
        expect(log).to_contain_text("Half an answer")
        expect(log).to_contain_text("The llm is starting.")
        chat.end = None
        page.get_by_role("button", name="Retry").click()
        answered(page)
        expect(page.get_by_role("group", name="Version 2 of 2")).to_be_visible()
