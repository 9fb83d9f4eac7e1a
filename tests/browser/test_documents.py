"""Documents in the running product: real models, real Milvus Lite, a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
from playwright.sync_api import Page, expect

from tests.documents_browser import passage
from tests.product import Product, raydio

OBSERVATORY = Path(__file__).parents[2] / "assets/samples/documents/observatory.pdf"
ANSWER_MS = 60_000


def ask(page: Page, question: str) -> None:
    box = page.get_by_role("textbox", name="Message")
    box.fill(question)
    box.press("Enter")
    expect(box).to_have_value("")
    expect(page.get_by_role("button", name="Stop")).to_be_hidden(timeout=ANSWER_MS)


def test_from_upload_to_citation_to_gone(page: Page, product: Product) -> None:
    page.goto(product.page("/ui/chat/"))
    page.get_by_role("button", name="Documents").first.click()
    page.locator("input.ray-docs-files").set_input_files(OBSERVATORY)
    expect(page.locator(".ray-docs-report")).to_contain_text("1 document added", timeout=ANSWER_MS)
    expect(page.get_by_text(re.compile(r"3 pages · \d+ passages"))).to_be_visible()
    page.get_by_role("button", name="Close").first.click()

    ask(page, "What does a ticket cost on Fridays and Saturdays?")
    source = page.locator(".ray-source").first
    expect(source).to_contain_text("observatory.pdf, page 1", timeout=ANSWER_MS)
    source.click()
    shown = passage(page)
    expect(shown.locator(".sheet img")).to_be_visible(timeout=ANSWER_MS)
    expect(shown.locator(".sheet i").first).to_be_visible()
    shown.get_by_role("button", name="Text").click()
    expect(shown.locator("mark")).to_contain_text("9 crowns")
    page.keyboard.press("Escape")

    page.get_by_role("button", name="Documents").first.click()
    page.get_by_role("button", name="Delete observatory.pdf").click()
    page.get_by_role("group", name=re.compile("Delete")).get_by_role("button", name="Delete").click()
    expect(page.locator(".ray-docs-told")).to_contain_text(
        re.compile(r"Deleted. 0 of its \d+ vectors remain")
    )
    page.get_by_role("button", name="Close").first.click()
    n_sources = page.locator(".ray-source").count()
    ask(page, "And what does a ticket cost for children under twelve?")
    assert page.locator(".ray-source").count() == n_sources


def test_what_was_said_is_there_after_a_reload(page: Page, product: Product) -> None:
    page.goto(product.page("/ui/chat/"))
    ask(page, "Say one word about lighthouses.")
    expect(page).to_have_url(re.compile(r"[?&]c="))
    page.reload()
    expect(page.get_by_text("Say one word about lighthouses.").first).to_be_visible(timeout=ANSWER_MS)
    expect(page.get_by_text(re.compile(r"tokens?/s|tok/s")).first).to_be_visible(timeout=ANSWER_MS)


def test_a_folder_is_ingested_from_the_command_line_and_forgotten(product: Product, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "harbour.md").write_text(
        "# Harbour\n\nThe harbour master is called Odalys Quint.\n"
    )
    assert "1 added" in raydio(product.home, "ingest", str(tmp_path / "notes"), limit_s=120)
    with httpx.Client(base_url=product.url, headers=product.headers, timeout=60) as client:
        question = {"query": "Who is the harbour master?", "temperature": 0, "max_tokens": 30}
        answer = client.post("/chat", json=question).json()
        assert any("harbour.md" in source["title"] for source in answer["sources"]), answer
        assert [bar["name"] for bar in answer["waterfall"]][:3] == ["embed", "search", "rerank"]
        assert "0 of its vectors are left" in raydio(product.home, "forget", "notes/harbour.md")
        found = client.post("/v1/search", json={"query": "harbour master", "min_score": -1}).json()
        assert "harbour.md" not in str(found["hits"])
