"""The documents panel and the passage viewer in a real Chromium, over documents really read and stored."""

from __future__ import annotations

import io
import zipfile
from html import escape
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from serve_apps.media import encode
from tests.documents_browser import HANDBOOK, Site, ask, browser, chat, give, house, listed, panel, passage
from tests.fake_clients import hum
from ui.documents import retrieval

__all__ = ["browser", "chat", "house"]

HOSTILE = "<img src=x onerror=window.bad=1>"
CHOICE = {"mode": "documents_first", "method": "hybrid", "collections": ["a"], "n_documents": 2}


# ---- what the chat is told -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "choice",
    [None, "x", [], {}, {**CHOICE, "n_documents": 0}, {**CHOICE, "mode": "no_documents"},
     {**CHOICE, "mode": "x"}, {**CHOICE, "method": "sql"},
     {**CHOICE, "collections": []}],
)  # fmt: skip
def test_without_documents_nothing_is_searched(choice: object) -> None:
    assert retrieval(choice) is None


def test_who_wants_nothing_but_documents_is_told_that_there_are_none() -> None:
    found = retrieval({**CHOICE, "mode": "documents_only", "n_documents": 0})
    assert found is not None
    assert found.mode == "documents_only"


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
    (tmp_path / "notes" / ".hidden").write_text("Nobody's business.")
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


def test_a_long_recording_can_be_heard_from_anywhere(chat: Page) -> None:
    """Browsers jump to what they have not loaded only where the server knows ranges; else to 0."""
    give(chat, {"talk.wav": encode(hum(300.0), "wav")})
    expect(listed(chat)).to_have_count(1)
    listed(chat).locator("a").click()
    sound = passage(chat).locator("audio")
    expect(sound).not_to_have_js_property("readyState", 0)
    at_s = sound.evaluate("""sound => new Promise((then) => {
        sound.addEventListener("seeked", () => then(sound.currentTime), { once: true });
        sound.currentTime = 290;
    })""")
    assert at_s == pytest.approx(290, abs=0.1)
    played = passage(chat).locator("ol.times li").last
    played.get_by_role("button").click()
    expect(played).to_have_attribute("aria-current", "true")
    expect(sound).to_be_in_viewport()


def test_an_address_that_may_not_be_fetched_is_told(chat: Page) -> None:
    chat.get_by_label("Web address of a document").fill("http://127.0.0.1:1/secret")
    chat.get_by_label("Web address of a document").press("Enter")
    expect(chat.locator(".ray-docs-report")).to_contain_text("http://127.0.0.1:1/secret")
