"""Collections, settings and other people's documents on the chat page, in a real Chromium."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.documents_browser import (
    HANDBOOK,
    QUESTION,
    Site,
    ask,
    browser,
    chat,
    give,
    house,
    listed,
    panel,
    passage,
)

__all__ = ["browser", "chat", "house"]

HOSTILE = "<img src=x onerror=window.bad=1>"


def test_collections_are_made_chosen_renamed_and_deleted(chat: Page) -> None:
    chat.get_by_role("button", name="New collection").click()
    chat.get_by_label("Name of the new collection").fill("Contracts")
    chat.get_by_label("Name of the new collection").press("Enter")
    expect(chat.locator(".ray-docs-into")).to_have_text("Contracts")
    give(chat, {"good.txt": b"Some words."})
    expect(listed(chat)).to_have_count(1)
    expect(chat.locator(".ray-docs-state")).to_have_text("1 · first")
    chat.get_by_label("Search in Contracts").uncheck()
    expect(chat.locator(".ray-docs-state")).to_have_text("")
    chat.get_by_label("What to do with Contracts").click()
    chat.get_by_role("button", name="Rename").click()
    chat.get_by_label("New name").fill(HOSTILE)
    chat.get_by_label("New name").press("Enter")
    expect(chat.get_by_role("button", name=HOSTILE, exact=True)).to_be_visible()
    chat.get_by_label(f"What to do with {HOSTILE}").click()
    chat.get_by_role("button", name="Share with everybody").click()
    expect(chat.locator(".ray-docs-collections")).to_contain_text("shared")
    chat.get_by_label(f"What to do with {HOSTILE}").click()
    chat.locator(".ray-docs-menu[open]").get_by_role("button", name="Delete").click()
    chat.locator(".ray-docs-confirm").get_by_role("button", name="Delete").click()
    expect(chat.locator(".ray-docs-told")).to_contain_text("Deleted. 0 of its 1 vector remain.")
    expect(chat.locator(".ray-docs-collections > ul > li")).to_have_count(1)


def listed_again(page: Page) -> None:
    """As when somebody comes back to the tab: the panel asks what there is now, and has drawn it."""
    with page.expect_response(lambda response: response.url.endswith("/documents")) as answered:
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    answered.value.finished()
    page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")


def test_what_somebody_is_at_survives_that_the_list_is_drawn_again(chat: Page) -> None:
    give(chat, {"one.txt": b"The first words.", "two.txt": b"The second ones."})
    expect(listed(chat)).to_have_count(2)
    expect(chat.locator(".ray-docs-report")).to_contain_text("2 documents added")
    listed(chat).locator("a", has_text="one.txt").focus()
    chat.get_by_role("button", name="Tags of two.txt").click()
    tags = chat.get_by_role("textbox", name="Tags of two.txt")
    tags.fill("half a wo")
    listed_again(chat)
    expect(tags).to_have_value("half a wo")
    expect(tags).to_be_focused()
    chat.keyboard.press("Escape")
    chat.get_by_role("button", name="Delete one.txt").click()
    listed_again(chat)
    expect(chat.get_by_role("button", name="Keep")).to_be_focused()
    chat.locator(".ray-docs-confirm").get_by_role("button", name="Delete").click()
    expect(chat.locator(".ray-docs-told")).to_contain_text("Deleted. 0 of its 1 vector remain.")
    expect(listed(chat)).to_have_count(1)
    chat.get_by_label("What to do with Documents").click()
    listed_again(chat)
    expect(chat.get_by_role("button", name="Rename")).to_be_visible()


def test_what_could_not_be_deleted_is_told_and_still_listed(chat: Page) -> None:
    give(chat, {"one.txt": b"The first words."})
    expect(listed(chat)).to_have_count(1)
    chat.route("**/v1/documents/*", lambda route: route.abort())
    chat.get_by_role("button", name="Delete one.txt").click()
    chat.locator(".ray-docs-confirm").get_by_role("button", name="Delete").click()
    expect(chat.locator(".ray-docs-problem")).to_have_text("Raydio does not answer.")
    expect(listed(chat).get_by_role("button", name="Delete one.txt")).to_be_visible()


def test_an_address_presets_the_search(house: Site) -> None:
    with house.opened(user="linked") as page:
        panel(page)
        give(page, {"Handbook.pdf": HANDBOOK})
        expect(listed(page)).to_have_count(1)
        [collection] = page.evaluate("fetch('../../v1/collections').then(r => r.json())")["data"]
    query = f"?mode=documents_only&collections={collection['id']}&method=bm25&rerank=0&n_passages=3"
    query += "&min_score=0.25"
    with house.opened(query, user="linked") as page:
        drawer = panel(page)
        expect(drawer.get_by_label("Documents only")).to_be_checked()
        drawer.get_by_text("How it searches").click()
        expect(drawer.get_by_label("Find passages by", exact=True)).to_have_value("bm25")
        expect(drawer.get_by_label("Read them again before choosing", exact=True)).not_to_be_checked()
        expect(drawer.get_by_label("Passages to read", exact=True)).to_have_value("3")
        expect(drawer.get_by_label("Lowest score", exact=True)).to_have_value("0.25")
        ask(page, "Xylophones?")
        expect(page.get_by_text("I found nothing about that in your documents.")).to_be_visible()


def test_vectors_of_another_model_are_made_again(house: Site, chat: Page) -> None:
    give(chat, {"one.txt": b"The first words."})
    expect(listed(chat)).to_have_count(1)
    before = house.embeddings.model
    try:
        house.embeddings.model = "Another 2M"
        give(chat, {"two.txt": b"The second words."})
        report = chat.locator(".ray-docs-report")
        expect(report).to_contain_text("1 failed")
        report.get_by_role("button", name="Index again").click()
        expect(report).to_contain_text("is indexed again")
        give(chat, {"two.txt": b"The second words."})
        expect(listed(chat)).to_have_count(2)
    finally:
        house.embeddings.model = before


def test_everything_can_be_done_with_keys_on_a_small_screen(house: Site) -> None:
    with house.opened(viewport={"width": 360, "height": 740}, color_scheme="dark") as page:
        page.locator(".ray-docs-open").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Close documents")).to_be_focused()
        give(page, {"Handbook.pdf": HANDBOOK})
        listed(page).locator("a").focus()
        page.keyboard.press("Enter")
        expect(passage(page).locator("body")).to_have_attribute("data-drawn", "true")
        assert page.evaluate("document.documentElement.scrollWidth <= 360")
        # The page keeps a strip for its scroll bar: what lies there is cut off.
        in_sight = page.evaluate("document.documentElement.getBoundingClientRect().width")
        box = {"x": 0, "y": 0, "width": in_sight, "height": 740}
        assert page.locator("dialog.ray-viewer").bounding_box() == box
        page.keyboard.press("Escape")
        expect(listed(page).locator("a")).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.locator(".ray-docs-open")).to_be_focused()
        expect(page.locator(".ray-docs")).to_be_hidden()


def test_two_users_see_their_own(house: Site) -> None:
    with house.opened(user="ann") as page:
        panel(page)
        give(page, {"Handbook.pdf": HANDBOOK})
        address = listed(page).locator("a").evaluate("link => link.href")
    with house.opened(user="bob") as page:
        panel(page)
        expect(page.locator(".ray-docs-none")).to_have_text("Nothing here yet.")
        ask(page, QUESTION)
        expect(page.get_by_text("I do not know.")).to_be_visible()
        page.goto(address)
        expect(page.get_by_role("heading")).to_have_text("This document was deleted.")


def test_what_is_shared_can_be_read_and_not_changed(house: Site) -> None:
    with house.opened(user="owner of it") as page:
        panel(page)
        give(page, {"Handbook.pdf": HANDBOOK})
        expect(listed(page)).to_have_count(1)
        page.get_by_label("What to do with Documents").click()
        page.get_by_role("button", name="Share with everybody").click()
        expect(page.locator(".ray-docs-collections")).to_contain_text("1 · shared")
    with house.opened(user="guest") as page:
        panel(page)
        shared = page.locator(".ray-docs-collections li").filter(has_text="by owner of it")
        expect(shared.locator("details")).to_have_count(0)
        shared.get_by_role("button").click()
        expect(listed(page).locator("a")).to_have_text("Handbook.pdf")
        expect(listed(page).get_by_role("button")).to_have_count(0)
        expect(page.locator(".ray-docs-drop")).to_be_hidden()
        ask(page).click()
        expect(passage(page).locator("body")).to_have_attribute("data-drawn", "true")
