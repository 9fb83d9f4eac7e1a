"""The documents panel and the passage viewer in a real Chromium, over documents really read and stored."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Iterator
from html import escape
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from serve_apps.media import encode
from tests.documents_browser import HANDBOOK, QUESTION, Site, ask, give, listed, panel, passage, site
from tests.fake_clients import hum
from ui.documents import retrieval

HOSTILE = "<img src=x onerror=window.bad=1>"
CHOICE = {"mode": "documents_first", "method": "hybrid", "collections": ["a"], "n_documents": 2}


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


# ---- what the chat is told -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "choice",
    [None, "x", [], {}, {**CHOICE, "n_documents": 0}, {**CHOICE, "mode": "no_documents"},
     {**CHOICE, "mode": "x"}, {**CHOICE, "method": "sql"}],
)  # fmt: skip
def test_without_documents_nothing_is_searched(choice: object) -> None:
    assert retrieval(choice) is None


def test_what_a_browser_says_is_checked() -> None:
    found = retrieval({**CHOICE, "n_passages": 1e9, "min_score": float("nan"), "rerank": False})
    assert found is not None
    assert (found.collections, found.n_passages, found.min_score, found.rerank) == (("a",), 20, None, False)


# ---- from a file to a citation and back -------------------------------------------------------------


def test_add_ask_open_delete_ask_again(chat: Page) -> None:
    requests: list[str] = []
    chat.on("request", lambda request: requests.append(request.url.split("/")[2].split(":")[0]))
    give(chat, {"Handbook.pdf": HANDBOOK})
    expect(listed(chat)).to_contain_text("2 pages · 2 passages")
    ask(chat).click()
    shown = passage(chat)
    expect(shown.locator(".sheet i")).to_have_count(2)  # heading and line
    expect(chat.locator("dialog.ray-viewer h2")).to_have_text("Source 1: Handbook.pdf, page 2 · Tickets")
    mark = shown.locator(".sheet i").last.bounding_box()
    sheet = shown.locator(".sheet img").bounding_box()
    assert mark is not None
    assert sheet is not None
    assert sheet["x"] + 0.1 * sheet["width"] < mark["x"] < sheet["x"] + 0.2 * sheet["width"]
    assert mark["y"] < sheet["y"] + 0.25 * sheet["height"]
    shown.get_by_role("button", name="Text").click()
    expect(shown.locator("mark")).to_be_visible()
    expect(shown.locator("mark")).to_contain_text("A ticket for the observatory costs twelve euros.")
    chat.keyboard.press("Escape")
    expect(chat.locator("dialog.ray-viewer")).not_to_be_visible()
    expect(chat.locator("a.ray-cite")).to_be_focused()

    listed(chat).get_by_role("button", name="Delete Handbook.pdf").click()
    expect(chat.get_by_role("button", name="Keep")).to_be_focused()
    chat.get_by_role("group", name="Delete “Handbook.pdf”?").get_by_role("button", name="Delete").click()
    expect(chat.locator(".ray-docs-told")).to_have_text(
        "Deleted. 0 of its 2 vectors remain. The collection holds 0 vectors now."
    )
    expect(listed(chat)).to_have_count(0)
    chat.locator(".ray-source").first.click()
    expect(passage(chat).get_by_role("heading")).to_have_text("This document was deleted.")
    chat.locator(".ray-viewer-close").click()
    expect(ask(chat)).to_have_count(1)  # the first answer's
    expect(chat.get_by_text("I do not know.")).to_be_visible()
    assert set(requests) <= {"127.0.0.1", ""}


def test_a_middle_click_opens_a_tab(chat: Page) -> None:
    give(chat, {"Handbook.pdf": HANDBOOK})
    expect(listed(chat)).to_have_count(1)
    with chat.context.expect_page() as opened:
        listed(chat).locator("a").click(button="middle")
    expect(opened.value.locator("h1")).to_contain_text("Handbook.pdf")
    expect(opened.value.get_by_role("link", name="Next")).to_be_visible()
    assert chat.locator("dialog.ray-viewer").is_hidden()


# ---- adding -----------------------------------------------------------------------------------------


def test_progress_is_shown_and_an_upload_can_be_cancelled(house: Site, chat: Page) -> None:
    house.embeddings.free.clear()
    give(chat, {"Handbook.pdf": HANDBOOK})
    row = chat.locator(".ray-docs-work li")
    expect(row).to_have_attribute("data-step", "embedding")
    expect(row).to_contain_text("finding its meaning")
    assert float(row.locator("progress").evaluate("bar => bar.value")) > 0.1
    chat.get_by_role("button", name="Cancel Handbook.pdf").click()
    expect(row).to_have_count(0)
    house.embeddings.free.set()
    expect(listed(chat)).to_have_count(0)
    give(chat, {"Handbook.pdf": HANDBOOK})
    expect(listed(chat)).to_have_count(1)


def test_a_folder_is_added_by_its_paths_and_files_can_be_dropped(chat: Page, tmp_path: Path) -> None:
    (tmp_path / "notes" / "deep").mkdir(parents=True)
    (tmp_path / "notes" / "one.md").write_text("# One\n\nThe first note.")
    (tmp_path / "notes" / "deep" / "two.txt").write_text("The second note.")
    chat.locator(".ray-docs-folder").set_input_files(tmp_path / "notes")
    expect(listed(chat).locator("a")).to_have_text(["notes/deep/two.txt", "notes/one.md"])
    dropped = chat.evaluate_handle(
        "() => { const files = new DataTransfer();"
        "files.items.add(new File(['A third note.'], 'three.txt')); return files; }"
    )
    chat.dispatch_event(".ray-docs-list", "dragenter", {"dataTransfer": dropped})
    expect(panel(chat)).to_have_attribute("data-dropping", "true")
    chat.dispatch_event(".ray-docs-list", "drop", {"dataTransfer": dropped})
    expect(listed(chat)).to_have_count(3)
    assert panel(chat).get_attribute("data-dropping") is None


def test_what_failed_is_told_until_it_is_dismissed(chat: Page) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("notes/one.md", "# One\n\nThe first note.")
        archive.writestr("notes/broken.pdf", b"%PDF-1.7 no more")
    give(chat, {"bad.pdf": b"%PDF-1.4 garbage", "good.txt": b"Some words.", "pack.zip": packed.getvalue()})
    report = chat.locator(".ray-docs-report")
    expect(report).to_contain_text("2 documents added, 2 failed.")
    expect(report.get_by_role("listitem")).to_have_count(2)
    expect(report).to_contain_text("broken.pdf")
    expect(listed(chat)).to_have_count(2)
    report.get_by_role("button", name="Dismiss").click()
    expect(report).to_be_hidden()
    give(chat, {"good.txt": b"Some words."})
    expect(report).to_contain_text("0 documents added, 1 unchanged.")
    give(chat, {"good.txt": b"Other words, many more of them."})
    expect(report).to_contain_text("1 document added.")
    expect(listed(chat)).to_have_count(2)  # replaced


def test_what_files_are_called_and_say_is_only_text(chat: Page) -> None:
    requests: list[str] = []
    chat.on("request", lambda request: requests.append(request.url))
    text = f"Rain <script>window.bad=2</script> {HOSTILE} falls on a hostile ticket cost."
    page = f"<html><head><title>{HOSTILE}</title></head><body><p>{escape(text)}</p>"
    page += "<script>window.bad=3</script></body></html>"
    give(chat, {f"{HOSTILE}.html": page.encode()})
    expect(listed(chat).locator("a")).to_have_text(f"{HOSTILE}.html")
    listed(chat).get_by_role("button", name="Tags").click()
    chat.get_by_label("Tags of").fill(f"{HOSTILE}, two")
    chat.get_by_label("Tags of").press("Enter")
    expect(chat.locator(".ray-docs-tags span").first).to_have_text(HOSTILE)
    ask(chat, "hostile ticket cost rain falls").first.click()
    expect(passage(chat).locator("mark")).to_contain_text("window.bad=2")
    frame = chat.frames[-1]
    assert frame.evaluate("window.bad") is None
    assert chat.evaluate("window.bad") is None
    assert not [url for url in requests if "/x" in url.rsplit("/", 1)[-1] or "127.0.0.1" not in url]


def test_try_it_with_a_sample(chat: Page) -> None:
    chat.get_by_role("button", name="Try it with a sample").click()
    expect(listed(chat)).to_have_count(2)
    expect(chat.get_by_role("button", name="Try it with a sample")).to_be_hidden()


def test_a_recording_can_be_played_where_it_is_cited(chat: Page) -> None:
    give(chat, {"talk.wav": encode(hum(20.0), "wav")})
    expect(listed(chat)).to_have_count(1)
    listed(chat).locator("a").click()
    shown = passage(chat)
    shown.get_by_role("button", name="Play from 0:00").wait_for()
    expect(shown.locator("audio")).to_have_js_property("readyState", 4)
    assert shown.locator("audio").evaluate("sound => sound.duration") == pytest.approx(20.0, abs=0.1)


def test_an_address_that_may_not_be_fetched_is_told(chat: Page) -> None:
    chat.get_by_label("Web address of a document").fill("http://127.0.0.1:1/secret")
    chat.get_by_label("Web address of a document").press("Enter")
    expect(chat.locator(".ray-docs-report")).to_contain_text("http://127.0.0.1:1/secret")


# ---- collections and settings ------------------------------------------------------------------------


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
        assert page.locator("dialog.ray-viewer").bounding_box() == {
            "x": 0,
            "y": 0,
            "width": 360,
            "height": 740,
        }
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
