"""Answers that outlive their tab, versions of messages, thumbs, and two users."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from serve_apps.access import Credential
from serve_apps.door import Door
from tests.chat_page import answered, ask, items, say, served_chat, until, visit
from tests.fake_clients import FakeChat


def test_a_reload_joins_the_running_answer(page: Page) -> None:
    chat = FakeChat("word", pause_s=0.05, endless=True)
    with served_chat(chat) as address:
        visit(page, address)
        ask(page, "Go on")
        expect(page.get_by_test_id("bot").first).to_contain_text("word word")
        expect(page.get_by_role("img", name="being written")).to_be_visible()
        page.reload()
        expect(page.get_by_role("button", name="Stop")).to_be_visible()
        expect(page.get_by_test_id("bot").first).to_contain_text("word word word")
        said = page.get_by_test_id("bot").first.inner_text()
        until(page, lambda: len(page.get_by_test_id("bot").first.inner_text()) > len(said))
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_text("Stopped")).to_be_visible()
        expect(page.get_by_role("img", name="being written")).to_be_hidden()
    assert (len(chat.requests), chat.n_closed) == (1, 1)


def test_a_second_device_joins_and_stops(page: Page) -> None:
    chat = FakeChat("word", pause_s=0.05, endless=True)
    with served_chat(chat) as address:
        visit(page, address)
        ask(page, "Go on")
        expect(page.get_by_test_id("bot").first).to_contain_text("word word")
        browser = page.context.browser
        assert browser is not None
        other = browser.new_context().new_page()
        other.goto(page.url)
        expect(other.get_by_test_id("user").first).to_contain_text("Go on")
        expect(other.get_by_test_id("bot").first).to_contain_text("word word word")
        other.get_by_role("button", name="Stop").click()
        for seen in (other, page):
            expect(seen.get_by_text("Stopped")).to_be_visible()
            expect(seen.get_by_role("button", name="Send")).to_be_visible()
        page.get_by_role("button", name="Retry").click()
        until(page, lambda: len(chat.requests) == 2)
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_role("group", name="Version 2 of 2")).to_be_visible()


def test_another_conversation_can_be_opened_meanwhile(page: Page) -> None:
    chat = FakeChat("word", pause_s=0.05, endless=True)
    with served_chat(chat) as address:
        visit(page, address)
        ask(page, "Go on")
        expect(page.get_by_test_id("bot").first).to_contain_text("word word")
        page.get_by_role("button", name="New chat", exact=True).first.click()
        expect(page.get_by_role("button", name="rainbow")).to_be_visible()
        expect(page.get_by_role("button", name="Send")).to_be_visible()
        expect(page.get_by_role("img", name="being written")).to_be_visible()
        page.get_by_role("link", name="Go on").click()
        expect(page.get_by_test_id("bot").first).to_contain_text("word word word")
        assert (len(chat.requests), chat.n_closed) == (1, 0)
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_text("Stopped")).to_be_visible()


def test_an_edit_makes_a_branch_and_the_old_one_stays(page: Page) -> None:
    with served_chat() as address:
        visit(page, address)
        say(page, "First", "Second")
        page.get_by_role("button", name="Edit").last.click()
        page.locator(".ray-log textarea").fill("Third")
        page.get_by_role("button", name="Submit").first.click()
        bots, users = page.get_by_test_id("bot"), page.get_by_test_id("user")
        expect(page.get_by_role("log")).to_contain_text("You said: Third")
        answered(page, 2)
        versions = page.get_by_role("group", name="Version 2 of 2")
        versions.get_by_role("button", name="Previous version").click()
        expect(users.last).to_have_text("Second")
        expect(page.get_by_role("log")).to_contain_text("You said: Second")
        back = page.get_by_role("group", name="Version 1 of 2").get_by_role("button", name="Next version")
        expect(back).to_be_focused()
        page.reload()
        expect(users.last).to_have_text("Second")
        back.click()
        expect(users.last).to_have_text("Third")
        expect(bots.first).to_contain_text("You said: First")


def test_retry_keeps_the_answer_before(page: Page) -> None:
    chat = FakeChat()
    with served_chat(chat) as address:
        visit(page, address)
        say(page, "First")
        chat.reply = "Another answer"
        page.get_by_role("button", name="Retry").click()
        expect(page.get_by_test_id("bot").first).to_contain_text("Another answer")
        versions = page.get_by_role("group", name="Version 2 of 2")
        versions.get_by_role("button", name="Previous version").click()
        expect(page.get_by_test_id("bot").first).to_contain_text("You said: First")
        say_again = "Goes on from the first answer"
        ask(page, say_again)
        expect(page.get_by_test_id("user").last).to_have_text(say_again)
        answered(page, 2)
    assert [m.content for m in chat.requests[-1].messages] == ["First", "You said: First", say_again]


def test_undo_asks_in_place_of_the_last_question(page: Page) -> None:
    chat = FakeChat()
    with served_chat(chat) as address:
        visit(page, address)
        say(page, "First", "Secnod")
        page.get_by_role("button", name="Undo").click()
        expect(page.get_by_role("textbox", name="Message")).to_have_value("Secnod")
        expect(page.get_by_test_id("user")).to_have_count(1)
        ask(page, "Second")
        answered(page, 2)
        expect(page.get_by_role("group", name="Version 2 of 2")).to_be_visible()
        expect(items(page)).to_have_count(1)
    assert [m.content for m in chat.requests[-1].messages] == ["First", "You said: First", "Second"]


def test_thumbs_and_a_comment_are_kept(page: Page) -> None:
    with served_chat() as address:
        visit(page, address)
        say(page, "First")
        page.get_by_role("button", name="Bad answer").click()
        page.get_by_role("dialog", name="Bad answer").get_by_label("Comment").fill("Too short")
        page.get_by_role("button", name="Save").click()
        pressed = page.get_by_role("button", name="Bad answer", pressed=True)
        expect(pressed).to_be_focused()
        page.reload()
        expect(pressed).to_have_attribute("title", "Bad answer: Too short")
        page.get_by_role("button", name="More about conversations").click()
        with page.expect_download() as found:
            page.get_by_role("menuitem", name="Export feedback").click()
        assert "Too short" in found.value.path().read_text()
        pressed.click()
        expect(pressed).to_have_count(0)


def test_users_do_not_see_each_other(page: Page) -> None:
    browser = page.context.browser
    assert browser is not None
    guard = {"credential": Credential("a-token-of-24-characters"), "user_header": "x-user"}

    def behind(app: object) -> Door:
        return Door(app, **guard, max_body_bytes=1 << 20)  # type: ignore[arg-type]

    def opened(name: str) -> Page:
        headers = {"x-user": name, "authorization": "Bearer a-token-of-24-characters"}
        return browser.new_context(extra_http_headers=headers).new_page()

    with served_chat(door=behind) as address:
        ann, bob = opened("ann"), opened("bob")
        visit(ann, address)
        say(ann, "Ann's secret")
        bob.goto(ann.url)
        expect(bob.get_by_text("This is a new chat")).to_be_visible()
        expect(bob.get_by_text("will be listed here")).to_be_visible()
        say(bob, "Bob's question")
        expect(items(bob)).to_have_count(1)
        ann.reload()
        expect(items(ann)).to_have_count(1)
        expect(ann.get_by_test_id("user").first).to_contain_text("Ann's secret")
