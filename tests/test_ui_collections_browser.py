"""The embeddings page on collections, in a real browser over a real knowledge stage."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import pytest
from gradio.exceptions import AppError
from gradio_client import Client
from playwright.sync_api import Page, expect
from pyarrow import parquet

from serve_apps.contracts_knowledge import Knowledge
from serve_apps.wire import StageReport
from tests import fake_clients as fakes
from tests.collections_page import USER, ask, collections_page, opened
from tests.fake_clients import FakeCluster, FakeEmbeddings
from tests.knowledge import added

N_POINTS = 2_000
WORDS = ("oil", "rain", "bread", "violin", "court", "goal", "cell", "orbit")
HOSTILE = "<img src=x onerror=alert(1)>"


async def fruit_and_tools(knowledge: Knowledge, embeddings: FakeEmbeddings) -> None:
    """Two documents of the owner's, one of bob's."""
    fruit = "red apple pie\n\ngreen apple tree\n\nred cherry cake"
    tools = "steel hammer heavy\n\nsteel saw sharp\n\nsmall hammer for apple crates"
    await added(knowledge, embeddings, "owner", "Documents", "fruit.txt", [fruit, "apple page two"])
    await added(knowledge, embeddings, "owner", "Documents", "tools.txt", [tools])
    await added(knowledge, embeddings, "bob", "Documents", "secret.txt", ["the red apple of bob"])


async def nothing(knowledge: Knowledge, embeddings: FakeEmbeddings) -> None:
    """A user without documents."""


async def many(knowledge: Knowledge, embeddings: FakeEmbeddings) -> None:
    """Thousands of passages, eight topics, a document each."""
    for word in WORDS:
        texts = [f"{word} {word} {word} number{i} thing{i % 7}" for i in range(N_POINTS // len(WORDS))]
        await added(knowledge, embeddings, "owner", "Documents", f"{word}.txt", ["\n\n".join(texts)])


def test_columns_moves_reasons_and_comparison(page: Page, tmp_path: Path) -> None:
    with collections_page(tmp_path, fruit_and_tools) as address:
        opened(page, address)
        expect(page.locator(".ray-library")).to_contain_text("7")
        ask(page, "heavy apple")
        expect(page.locator(".ray-column")).to_have_count(4)
        expect(page.locator(".ray-column h3")).to_have_text(["Dense", "BM25", "Hybrid", "Hybrid + reranker"])
        expect(page.locator(".ray-column").nth(1)).to_contain_text(re.compile("[\u2191\u2193]|new|Gone"))
        card = page.locator(".ray-passage", has_text="steel hammer heavy").first
        card.hover()
        lit = page.locator(".ray-passage.ray-lit")
        assert set(lit.evaluate_all("all => all.map((each) => each.dataset.key)")) == {
            card.get_attribute("data-key")
        }
        expect(page.locator(".ray-moves path").first).to_be_attached()
        card.get_by_role("button", name="Why").click()
        why = page.get_by_role("dialog")
        expect(why.locator("mark").first).to_have_text("heavy")
        expect(why).to_contain_text("(cosine)")
        expect(why).to_contain_text("by the reranker")
        link = why.locator("a").first.get_attribute("href")
        assert re.fullmatch(r"\.\./\.\./v1/documents/\w[\w-]*/pages/1\?start=0&end=18", link or "")
        page.keyboard.press("Escape")
        chat = page.locator("[data-column=hybrid-rerank]").get_by_role("link", name="Use in chat")
        assert "method=hybrid&rerank=1&n_passages=5" in (chat.get_attribute("href") or "")
        for n in range(3):
            page.locator(".ray-column").first.get_by_role("button", name="Compare").nth(n).click()
        expect(page.locator(".ray-chosen li")).to_have_count(3)
        expect(page.locator(".ray-heat:visible canvas")).to_have_attribute(
            "aria-label", re.compile("of 3 lines")
        )
        page.get_by_text("Clear", exact=True).click()
        expect(page.locator(".ray-heat:visible")).to_have_count(0)
        page.get_by_text("Only one embedding model is deployed").click()
        expect(page.get_by_text("import_path: serve_apps.embeddings:app")).to_be_visible()


def test_settings_ask_again(page: Page, tmp_path: Path) -> None:
    with collections_page(tmp_path, fruit_and_tools) as address:
        opened(page, address)
        ask(page, "apple")
        page.get_by_label("BM25 + reranker").check()
        expect(page.locator(".ray-column")).to_have_count(5)
        page.get_by_role("button", name="Settings and filters").click()
        page.get_by_label("Only these documents").click()
        page.get_by_role("option", name="tools.txt").click()
        expect(page.locator(".ray-column").first.locator(".ray-passage")).to_have_count(3)
        expect(page.locator(".ray-columns")).not_to_contain_text("fruit.txt")


def test_a_map_of_thousands(page: Page, tmp_path: Path) -> None:
    with collections_page(tmp_path, many) as address:
        opened(page, address)
        page.locator("#ray-draw").click()
        space = page.locator(".ray-space")
        expect(space).to_have_attribute("data-points", str(N_POINTS), timeout=20_000)
        expect(space).to_have_attribute("data-refined", "true", timeout=60_000)
        over = page.locator(".ray-space-over")
        ask(page, "violin number9")
        card = page.locator(".ray-passage").first
        card.hover()
        expect(over).to_have_attribute("data-at", card.get_attribute("data-key") or "")
        found = page.get_by_role("searchbox", name=re.compile("Find words"))
        found.fill("orbit number7 thing0")
        found.press("Enter")
        expect(space.locator(".ray-tip")).to_contain_text("orbit orbit orbit number7 thing0")
        expect(space.locator("output")).to_have_text("1 of 1")
        assert_hover_is_right(page)
        space.get_by_role("button", name=re.compile("orbit.txt")).click()
        expect(space.locator("output")).to_have_text("0 found")
        space.get_by_text("As a table").click()
        expect(space.locator("tbody tr")).to_have_count(100)
        over.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_contain_text("Why this passage")


def assert_hover_is_right(page: Page) -> None:
    """Where a passage was shown, the pointer finds it (or one that lies on it)."""
    over = page.locator(".ray-space-over")
    key = over.get_attribute("data-at")
    tip = page.locator(".ray-space .ray-tip")
    place = tip.evaluate(
        "(tip) => [tip.offsetLeft + tip.offsetWidth / 2, tip.offsetTop + tip.offsetHeight + 14]"
    )
    over.hover(position={"x": 3, "y": 3})
    expect(over).to_have_attribute("data-at", "")
    over.hover(position={"x": place[0], "y": place[1]})
    expect(over).to_have_attribute("data-at", re.compile((key or "").split(":")[0]))


def test_stop_leaves_the_first_map(page: Page, tmp_path: Path) -> None:
    with collections_page(tmp_path, many) as address:
        opened(page, address)
        page.locator("#ray-draw").click()
        expect(page.locator(".ray-space")).to_have_attribute("data-refined", "false", timeout=20_000)
        page.locator(".ray-map-row").get_by_role("button", name="Stop").click()
        expect(page.get_by_text("The map stays as it is.")).to_be_visible()
        expect(page.locator(".ray-space")).to_have_attribute("data-refined", "false")


def test_files_are_offered(page: Page, tmp_path: Path) -> None:
    with collections_page(tmp_path, fruit_and_tools) as address:
        opened(page, address)
        ask(page, "apple")
        page.get_by_role("button", name="Download").first.click()
        assert len(parquet.read_table(downloaded(page, tmp_path, "Passages and vectors, Parquet"))) == 7
        for choice in ("Passages, CSV", "Results, CSV"):
            with downloaded(page, tmp_path, choice).open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            assert ("column" in rows[0]) == choice.startswith("Results")
            assert {row["document"] for row in rows} == {"fruit.txt", "tools.txt"}


def downloaded(page: Page, folder: Path, choice: str) -> Path:
    """The file that the browser gets for a choice."""
    page.get_by_label("What", exact=True).click()
    page.get_by_role("option", name=choice, exact=True).click()
    with page.expect_download() as download:
        page.locator("#ray-save-collection").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_two_users_never_meet(page: Page, tmp_path: Path) -> None:
    with collections_page(tmp_path, fruit_and_tools) as address:
        clients = {
            user: Client(
                f"{address}/ui/embeddings/", headers={USER: user}, verbose=False, analytics_enabled=False
            )
            for user in ("owner", "bob")
        }
        found = {
            user: client.predict(query="apple", k=20, api_name="/collection_search")
            for user, client in clients.items()
        }
        assert {hit["document"] for hit in found["owner"]} == {"fruit.txt", "tools.txt"}
        assert {hit["document"] for hit in found["bob"]} == {"secret.txt"}
        secret = found["bob"][0]["passage"].split(":")[0]
        for wrong in ({"collections": ["no-such"]}, {"query": " "}, {"method": "magic"}):
            with pytest.raises(AppError):
                clients["bob"].predict(**{"query": "apple", **wrong}, api_name="/collection_search")
        opened(page, address)
        ask(page, "apple")
        expect(page.locator(".ray-columns")).not_to_contain_text("secret.txt")
        page.evaluate(
            "(id) => document.dispatchEvent("
            "new CustomEvent('raydio:why', {detail: {document: id, index: 0}}))",
            secret,
        )
        expect(page.get_by_role("dialog")).to_contain_text("no")
        expect(page.get_by_role("dialog")).not_to_contain_text("the red apple of bob")


def test_hostile_names_and_texts_stay_text(page: Page, tmp_path: Path) -> None:
    async def hostile(knowledge: Knowledge, embeddings: FakeEmbeddings) -> None:
        pages = [f"{HOSTILE} apple {i}\n\n\"'&<script>alert(2)</script> apple" for i in range(6)]
        await added(knowledge, embeddings, "owner", "Documents", f"{HOSTILE}.txt", pages)

    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    with collections_page(tmp_path, hostile) as address:
        opened(page, address)
        ask(page, "apple")
        card = page.locator(".ray-passage").first
        expect(card).to_contain_text(".txt")
        for n in range(2):
            page.locator(".ray-column").first.get_by_role("button", name="Compare").nth(n).click()
        page.locator("#ray-draw").click()
        expect(page.locator(".ray-space")).to_have_attribute("data-refined", "true", timeout=60_000)
        page.locator(".ray-space").get_by_text("As a table").click()
        card.get_by_role("button", name="Why").click()
        expect(page.get_by_role("dialog").locator("blockquote")).to_contain_text("apple")
        assert page.locator("img[src='x']").count() == 0


class OtherModel(FakeEmbeddings):
    """Calls itself something else."""

    async def describe(self) -> StageReport:
        report = await super().describe()
        return replace(report, card=replace(report.card, model="Another model"))


def test_a_collection_of_another_model_is_indexed_again(page: Page, tmp_path: Path) -> None:
    with collections_page(tmp_path, fruit_and_tools, embeddings=OtherModel()) as address:
        opened(page, address)
        expect(page.get_by_role("alert")).to_contain_text("Another model runs now")
        ask(page, "apple")
        expect(page.locator("[data-column=dense] .ray-column-error")).to_be_visible()
        expect(page.locator("[data-column=bm25] .ray-passage").first).to_be_visible()
        page.get_by_role("button", name="Index again").click()
        expect(page.get_by_text(re.compile("Done: 7 passages"))).to_be_visible(timeout=20_000)
        expect(page.get_by_role("button", name="Index again")).to_be_hidden()
        ask(page, "red apple")
        expect(page.locator("[data-column=dense] .ray-passage").first).to_be_visible()


def test_nothing_yet_then_the_sample(page: Page, tmp_path: Path) -> None:
    with collections_page(tmp_path, nothing) as address:
        opened(page, address)
        expect(page.get_by_text("No documents yet.")).to_be_visible()
        expect(page.locator("#ray-question")).to_be_hidden()
        page.get_by_role("button", name="Add the sample documents").click()
        expect(page.locator(".ray-library")).to_be_visible(timeout=30_000)
        ask(page, "night")
        expect(page.locator(".ray-passage").first).to_be_visible()


def test_two_models_side_by_side(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fakes, "APPLICATIONS", (*fakes.APPLICATIONS, "embeddings-2"))
    with collections_page(tmp_path, fruit_and_tools, cluster=FakeCluster()) as address:
        opened(page, address)
        page.locator("#ray-question textarea").fill("red apple")
        page.get_by_role("button", name="Two embedding models").click()
        page.get_by_role("button", name="Compare the models").click()
        expect(page.locator(".ray-agreement")).to_contain_text("1.00")
        expect(page.locator(".ray-column h3")).to_have_text(["embeddings", "embeddings-2"])
        expect(page.locator(".ray-heat:visible")).to_have_count(2)
