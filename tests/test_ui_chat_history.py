"""The list of conversations beside the chat: find, name, file, export, delete; by mouse, keys and thumb."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.chat_page import answered, ask, choose, item, items, say, served_chat, visit
from tests.fake_clients import FakeChat

PHONE = {"width": 360, "height": 740}
HOSTILE = (
    "<img src=x onerror=document.title='owned'>",
    "${document.title='owned'} `x`",
    "{{value}} {{#each value}}{{/each}}",
    "\u202egnp.exe \\ ' \" </a><b>",
)


def _begin(page: Page, *titles: str) -> None:
    """A conversation each."""
    for title in titles:
        page.get_by_role("button", name="New chat", exact=True).first.click()
        expect(page.locator(".ray-log .message-row")).to_have_count(0)
        ask(page, title)
        answered(page)


def test_conversations_are_listed_and_opened(page: Page) -> None:
    with served_chat() as address:
        visit(page, address)
        expect(page.get_by_text("will be listed here")).to_be_visible()
        _begin(page, "Tea for six", "Names of cats")
        expect(items(page)).to_have_count(2)
        expect(page.get_by_role("heading", name="Today")).to_be_visible()
        tea = page.url
        item(page, "Tea for six").get_by_role("link").click()
        expect(page.get_by_test_id("bot").first).to_contain_text("You said: Tea for six")
        expect(page.locator("[aria-current=page]").last).to_contain_text("Tea for six")
        expect(page).to_have_title("Tea for six · Raydio")
        page.go_back()
        expect(page.get_by_test_id("bot").first).to_contain_text("Names of cats")
        page.goto(tea)
        expect(page.get_by_test_id("bot").first).to_contain_text("Names of cats")
        page.get_by_text("tok/s").click()
        expect(page.locator(".ray-fall-bar").first).to_be_visible()


def test_search_shows_where_it_found_the_words(page: Page) -> None:
    with served_chat() as address:
        visit(page, address)
        _begin(page, "Tea for six", "Names of cats")
        search = page.get_by_role("searchbox", name="Search conversations")
        search.fill("said: tea")
        expect(items(page)).to_have_count(1)
        expect(page.locator("mark").first).to_be_visible()
        search.fill("zebra")
        expect(page.get_by_text("Nothing found.")).to_be_visible()
        search.fill("")
        expect(items(page)).to_have_count(2)


def test_rename_pin_folder_and_tags(page: Page) -> None:
    with served_chat() as address:
        visit(page, address)
        _begin(page, "Tea for six", "Names of cats")
        choose(page, "Tea for six", "Rename")
        page.get_by_label("Name of the conversation").fill("The pot")
        page.keyboard.press("Enter")
        expect(item(page, "The pot")).to_be_visible()
        choose(page, "The pot", "Pin")
        expect(page.get_by_role("heading", name="Pinned")).to_be_visible()
        expect(items(page).first).to_contain_text("The pot")
        choose(page, "Names of cats", "Folder")
        page.get_by_label("Folder, empty for none").fill("Pets")
        page.keyboard.press("Enter")
        choose(page, "Names of cats", "Tags")
        page.get_by_label("Tags, with commas").fill("soft, round")
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Only in the folder Pets").click()
        expect(items(page)).to_have_count(1)
        page.get_by_role("button", name="Not only the folder Pets").click()
        expect(items(page)).to_have_count(2)
        page.get_by_role("button", name="Only with the tag soft").click()
        expect(items(page)).to_have_count(1)
        page.get_by_role("button", name="Not only the tag soft").click()
        expect(items(page)).to_have_count(2)
        page.get_by_role("button", name="More about conversations").click()
        page.get_by_role("menuitem", name="Group by folder").click()
        expect(page.get_by_role("heading", name="Pets")).to_be_visible()
        page.reload()
        expect(page.get_by_role("heading", name="Pets")).to_be_visible()
        expect(item(page, "The pot")).to_be_visible()


def test_deleted_is_gone_after_a_reload(page: Page) -> None:
    with served_chat() as address:
        visit(page, address)
        _begin(page, "Tea for six", "Names of cats")
        choose(page, "Names of cats", "Delete")
        page.get_by_role("button", name="Keep").click()
        expect(items(page)).to_have_count(2)
        choose(page, "Names of cats", "Delete")
        page.get_by_role("button", name="Delete", exact=True).click()
        expect(items(page)).to_have_count(1)
        expect(page.locator(".ray-log .message-row")).to_have_count(0)
        gone = page.url
        assert "?c=" not in gone
        page.reload()
        expect(items(page)).to_have_count(1)
        expect(item(page, "Tea for six")).to_be_visible()


def test_what_is_not_there_is_said(page: Page) -> None:
    with served_chat() as address:
        visit(page, address, "?c=0123456789abcdef0123456789abcdef")
        expect(page.get_by_text("This is a new chat")).to_be_visible()
        expect(page.get_by_role("button", name="rainbow")).to_be_visible()
        expect(page).to_have_url(f"{address}/ui/chat/")
        say(page, "Hello")


def test_many_are_exported_and_deleted_at_once(page: Page) -> None:
    with served_chat() as address:
        visit(page, address)
        _begin(page, "Tea for six", "Names of cats", "A rainbow")
        page.get_by_role("button", name="More about conversations").click()
        page.get_by_role("menuitem", name="Select several").click()
        for title in ("Tea for six", "Names of cats"):
            page.get_by_role("checkbox", name=f"Select {title}").check()
        expect(page.get_by_text("2 selected")).to_be_visible()
        page.get_by_role("button", name="Export", exact=True).click()
        with page.expect_download() as found:
            page.get_by_role("menuitem", name="Markdown").click()
        assert Path(found.value.suggested_filename).suffix == ".zip"
        page.get_by_role("button", name="Delete", exact=True).click()
        page.get_by_role("alertdialog").get_by_role("button", name="Delete").click()
        expect(items(page)).to_have_count(1)
        expect(page.get_by_text("2 conversations deleted.")).to_be_visible()


@pytest.mark.parametrize("kind", ["Markdown", "JSON", "PDF"])
def test_export_is_a_download(page: Page, kind: str) -> None:
    with served_chat() as address:
        visit(page, address)
        say(page, "Tea for six")
        item(page, "Tea for six").hover()
        page.get_by_role("button", name="Options for Tea for six").click()
        with page.expect_download() as found:
            page.get_by_role("menuitem", name=f"Export {kind}").click()
        data = Path(found.value.path()).read_bytes()
    expected = {"Markdown": b"You said: Tea for six", "JSON": b"You said: Tea for six", "PDF": b"%PDF-"}
    assert expected[kind] in data


def test_an_export_is_imported(page: Page, tmp_path: Path) -> None:
    with served_chat() as address:
        visit(page, address)
        say(page, "Tea for six")
        page.get_by_role("button", name="More about conversations").click()
        with page.expect_download() as found:
            page.get_by_role("menuitem", name="Export all").click()
        saved = tmp_path / "saved.json"
        found.value.save_as(saved)
    json.loads(saved.read_bytes())
    with served_chat() as address:
        visit(page, address)
        chooser = page.get_by_label("File to import")
        chooser.set_input_files(saved)
        expect(page.get_by_text("1 conversation with 2 messages imported")).to_be_visible()
        item(page, "Tea for six").get_by_role("link").click()
        expect(page.get_by_test_id("bot").first).to_contain_text("You said: Tea for six")
        chooser.set_input_files({"name": "x.json", "mimeType": "application/json", "buffer": b"\x00"})
        expect(page.locator(".ray-history-status")).not_to_contain_text("imported")


def test_the_keyboard_is_enough(page: Page) -> None:
    with served_chat() as address:
        visit(page, address)
        _begin(page, "One", "Two")
        page.get_by_role("searchbox").focus()
        page.keyboard.press("ArrowDown")
        expect(page.get_by_role("link", name="Two")).to_be_focused()
        page.keyboard.press("ArrowDown")
        expect(page.get_by_role("link", name="One")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_test_id("bot").first).to_contain_text("You said: One")
        page.get_by_role("link", name="One").focus()
        page.keyboard.press("F2")
        page.keyboard.type("Renamed")
        page.keyboard.press("Enter")
        expect(page.get_by_role("link", name="Renamed")).to_be_focused()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_role("menuitem", name="Rename")).to_be_focused()
        page.keyboard.press("ArrowUp")
        expect(page.get_by_role("menuitem", name="Delete")).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.get_by_role("button", name="Options for Renamed")).to_be_focused()
        page.get_by_role("link", name="Renamed").focus()
        page.keyboard.press("Delete")
        page.keyboard.press("Enter")
        expect(items(page)).to_have_count(1)
        expect(page.get_by_role("link", name="Two")).to_be_focused()


def test_the_list_is_a_drawer_on_a_phone(page: Page) -> None:
    page.set_viewport_size(PHONE)
    with served_chat() as address:
        visit(page, address)
        say(page, "Tea for six")
        opener = page.get_by_role("button", name="Chats")
        expect(items(page)).to_be_hidden()
        opener.click()
        drawer = page.get_by_role("dialog", name="Conversations")
        expect(drawer).to_be_visible()
        for _ in range(12):
            page.keyboard.press("Tab")
            assert page.evaluate("document.activeElement.closest('#ray-history') !== null")
        page.keyboard.press("Escape")
        expect(drawer).to_be_hidden()
        expect(opener).to_be_focused()
        opener.click()
        item(page, "Tea for six").get_by_role("link").click()
        expect(drawer).to_be_hidden()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_hostile_words_stay_words(page: Page) -> None:
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    with served_chat(FakeChat(" ".join(HOSTILE))) as address:
        visit(page, address)
        for text in HOSTILE:
            page.get_by_role("button", name="New chat", exact=True).first.click()
            expect(page.locator(".ray-log .message-row")).to_have_count(0)
            ask(page, text)
            answered(page)
        expect(items(page)).to_have_count(len(HOSTILE))
        first = items(page).first
        first.hover()
        first.get_by_role("button").click()
        page.get_by_role("menuitem", name="Tags").click()
        page.get_by_label("Tags, with commas").fill(HOSTILE[0])
        page.keyboard.press("Enter")
        expect(page.locator(".ray-chat-tag").first).to_have_text(HOSTILE[0])
        page.reload()
        for text in HOSTILE[:2]:
            expect(items(page).filter(has_text=text[:12]).first).to_be_visible()
        page.get_by_role("searchbox").fill("<img")
        expect(page.locator("mark").first).to_be_visible()
        assert page.title() != "owned"
        assert page.locator(".ray-history img, .ray-log .message-content img").count() == 0
    assert not [url for url in urls if url.endswith("/x")]


def test_a_temporary_chat_leaves_nothing(page: Page) -> None:
    chat = FakeChat()
    with served_chat(chat) as address:
        visit(page, address)
        page.get_by_role("button", name="Temporary").click()
        expect(page.get_by_text("nothing is stored")).to_be_visible()
        say(page, "A secret", "And another")
        expect(items(page)).to_have_count(0)
        assert "?c=" not in page.url
        page.reload()
        expect(page.get_by_text("will be listed here")).to_be_visible()
    assert [message.content for message in chat.requests[1].messages] == [
        "A secret",
        "You said: A secret",
        "And another",
    ]
