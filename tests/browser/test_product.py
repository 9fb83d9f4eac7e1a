"""A new user's first minutes: every page of the running product, in a real browser, on real models."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import openai
import pytest
from gradio_client import Client, handle_file
from playwright.sync_api import Page, Request, expect

from tests.product import Product, raydio

PAGES = ("", "chat/", "voice/", "stt/", "tts/", "embeddings/")
ANSWER_MS = 60_000
SAMPLES = Path(__file__).parents[2] / "assets/samples"


def foreign_requests(page: Page, product: Product) -> list[str]:
    """A list that fills with every request to another host."""
    foreign: list[str] = []

    def check(request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc != urlsplit(product.url).netloc:
            foreign.append(request.url)

    page.on("request", check)
    return foreign


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.strip("/") or "home")
def test_every_page_opens_without_errors_or_foreign_requests(page: Page, product: Product, path: str) -> None:
    foreign = foreign_requests(page, product)
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(product.page(f"/ui/{path}"))
    assert "token" not in page.url
    expect(page.get_by_role("link", name="Chat", exact=True)).to_be_visible()
    expect(page.get_by_text("Ready").first).to_be_visible(timeout=ANSWER_MS)
    width = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width <= 0
    assert (foreign, errors) == ([], [])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.strip("/") or "home")
def test_every_page_fits_a_phone(page: Page, product: Product, path: str) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(product.page(f"/ui/{path}"))
    expect(page.locator("#ray-main")).to_be_visible()
    expect(page.get_by_text("Ready").first).to_be_attached(timeout=ANSWER_MS)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_home_says_what_runs(page: Page, product: Product) -> None:
    page.goto(product.page("/ui/"))
    for model in ("SmolLM2-135M-Instruct", "espeak-ng", "MiniLM", "Moonshine"):
        expect(page.get_by_role("table").get_by_text(re.compile(model, re.IGNORECASE)).first).to_be_visible()
    expect(page.get_by_text("Healthy").first).to_be_visible()


def test_chat_answers_and_says_how_fast(page: Page, product: Product) -> None:
    page.goto(product.page("/ui/chat/"))
    box = page.get_by_role("textbox", name="Message")
    box.fill("Say hello to a new user.")
    box.press("Enter")
    expect(page.get_by_text(re.compile(r"tokens?/s|tok/s")).first).to_be_visible(timeout=ANSWER_MS)


def test_speech_is_played_while_it_is_made(page: Page, product: Product) -> None:
    page.goto(product.page("/ui/tts/"))
    page.get_by_label("Text", exact=True).fill("Hello. This is spoken while the rest is still being made.")
    page.get_by_role("button", name="Speak").click()
    player = page.locator("[data-state]").first
    expect(player).to_have_attribute("data-first-audio-ms", re.compile(r"\d"), timeout=ANSWER_MS)
    expect(player).to_have_attribute("data-state", re.compile("playing|done"))


def test_embeddings_draw_an_example(page: Page, product: Product) -> None:
    page.goto(product.page("/ui/embeddings/"))
    page.get_by_role("tab", name="Lines").click()
    page.locator(".ray-try button").first.click()
    expect(page.get_by_role("application", name=re.compile("Map of 24 lines"))).to_be_visible(
        timeout=ANSWER_MS
    )


def client(product: Product, page: str) -> Client:
    return Client(f"{product.url}/ui/{page}/", headers=product.headers, verbose=False)


def test_programs_can_use_every_page(product: Product) -> None:
    assert client(product, "chat").predict("Say hello.", api_name="/chat")
    speech = client(product, "tts").predict("The quick brown fox.", api_name="/speak")
    text, *_ = client(product, "stt").predict(handle_file(speech), api_name="/transcribe")
    assert "quick brown" in text.lower()
    heard, answer, spoken = client(product, "voice").predict(handle_file(speech), api_name="/turn")
    assert "quick brown" in heard.lower()
    assert answer
    assert Path(spoken).stat().st_size > 1000
    lines = "a cat sleeps\na kitten naps\nstock prices fell"
    embeddings = client(product, "embeddings")
    matrix = embeddings.predict(lines, api_name="/similarity")
    matrix = matrix.get("similarity", matrix) if isinstance(matrix, dict) else matrix
    assert matrix[0][1] > matrix[0][2]
    found = embeddings.predict(lines, "markets", 1, api_name="/search")
    assert "stock" in json.dumps(found)


def test_the_openai_sdk_streams(product: Product) -> None:
    sdk = openai.OpenAI(base_url=f"{product.url}/v1", api_key=product.token)
    (model,) = [m.id for m in sdk.models.list()]
    stream = sdk.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Count to five."}], stream=True, max_tokens=20
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def test_nothing_answers_without_the_token(product: Product) -> None:
    with httpx.Client(base_url=product.url) as stranger:
        for path in (
            "/",
            *(f"/ui/{page}" for page in PAGES),
            "/ui/chat/config",
            "/v1/models",
            "/docs",
            "/openapi.json",
        ):
            assert stranger.get(path).status_code == 401, path
        assert stranger.get("/healthz").status_code == 200


def test_nothing_is_listening_beyond_this_machine(product: Product) -> None:
    """Pages and API only on loopback; what Ray binds wider asks for its own token."""
    port = urlsplit(product.url).port
    assert urlsplit(product.url).hostname == "127.0.0.1"
    listening = Path("/proc/net/tcp").read_text().split("\n")
    mine = [line.split()[1] for line in listening[1:] if line and line.split()[1].endswith(f":{port:04X}")]
    assert mine
    assert all(address.startswith("0100007F") for address in mine)


def test_status_says_everything(product: Product) -> None:
    status = json.loads(raydio(product.home, "status", "--json"))
    applications = {a["name"]: a for a in status["applications"]}
    assert set(applications) == {"front", "stt", "embeddings", "reranker", "knowledge", "llm", "tts"}
    assert all(a["status"] == "healthy" and a["replicas"] for a in applications.values())
    assert applications["llm"]["engine"] == "ctranslate2"
