"""Takes the README's screenshots: starts Raydio, uses every page as a person would, stops it.

    make screenshots      (or, against a running one:)  screenshots.py --url http://127.0.0.1:8000 --token …

Pictures go to docs/images/<page>-<light|dark>.png, and -phone for 360 px.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests import product as running
from tests.dialogue import microphone
from tests.live import applications
from tests.product import Product

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs/images"
DESKTOP, PHONE = {"width": 1280, "height": 860}, {"width": 360, "height": 740}
PATIENCE_MS = 90_000
DOCUMENTS = ROOT / "assets/samples/documents"
QUESTION = "Where does the key of the dome hang?"
SEARCH = "How much honey was there last year?"
N_HEARD_WORDS = 9
"""Of the answer that is being spoken in the picture."""
SPEECH = "You hear the first words at once, and the file is yours when the last of them is spoken."


def home(page: Page) -> None:
    """Everything that runs, healthy."""
    expect(page.get_by_text("Ready").first).to_be_attached(timeout=PATIENCE_MS)
    expect(page.get_by_role("table").get_by_text("Healthy")).to_have_count(7, timeout=PATIENCE_MS)


def chat(page: Page) -> None:
    """One answer from documents with its numbers, and where it comes from."""
    box = page.get_by_role("textbox", name="Message")
    expect(page.get_by_role("button", name=re.compile("Documents 2"))).to_be_visible(timeout=PATIENCE_MS)
    box.fill(QUESTION)
    box.press("Enter")
    expect(page.get_by_text(re.compile(r"tokens?/s|tok/s")).first).to_be_visible(timeout=PATIENCE_MS)
    expect(page.locator(".ray-source").first).to_be_visible()


def passage(page: Page) -> None:
    """A source of that answer, opened."""
    chat(page)
    page.locator(".ray-source").first.click()
    shown = page.frame_locator("dialog.ray-viewer iframe")
    expect(shown.locator(".sheet i").first).to_be_visible(timeout=PATIENCE_MS)


def voice(page: Page) -> None:
    """The recorded dialogue, in mid conversation: one turn with its times, and words as they are spoken."""
    page.locator(".ray-live-mic").click()
    answers = page.locator(".ray-live-entry[data-role=assistant]")
    answers.nth(0).locator(".ray-live-where summary").click(timeout=PATIENCE_MS)
    page.mouse.move(0, 0)
    expect(answers.nth(1).locator(".ray-heard").nth(N_HEARD_WORDS)).to_be_visible(timeout=PATIENCE_MS)


def stt(page: Page) -> None:
    """The example recording, transcribed."""
    page.locator(".ray-try button, button:has-text('example')").first.click()
    expect(page.get_by_text("SRT").first).to_be_visible(timeout=PATIENCE_MS)


def tts(page: Page) -> None:
    """A sentence, spoken to its end."""
    page.get_by_label("Text", exact=True).fill(SPEECH)
    page.get_by_role("button", name="Speak").click()
    expect(page.locator("#ray-file")).to_be_visible(timeout=PATIENCE_MS)


def embeddings(page: Page) -> None:
    """One query searched in four ways."""
    box = page.locator("#ray-question textarea")
    box.fill(SEARCH)
    box.press("Enter")
    expect(page.locator(".ray-board[data-query]")).to_be_visible(timeout=PATIENCE_MS)


USES: dict[str, Callable[[Page], None]] = {
    "home": home,
    "chat": chat,
    "passage": passage,
    "voice": voice,
    "stt": stt,
    "tts": tts,
    "embeddings": embeddings,
}


def take(browser: Browser, product: Product, name: str, scheme: str, *, phone: bool) -> Path:
    """Use one page and photograph it."""
    context = browser.new_context(
        viewport=PHONE if phone else DESKTOP, color_scheme=scheme, device_scale_factor=1
    )
    page = context.new_page()
    at = {"home": "", "passage": "chat/"}.get(name, f"{name}/")
    page.goto(product.page(f"/ui/{at}"))
    USES[name](page)
    page.evaluate("document.fonts.ready")
    path = IMAGES / f"{name}{'-phone' if phone else ''}-{scheme}.png"
    page.screenshot(path=path, animations="disabled")
    context.close()
    return path


@contextmanager
def serving(options: argparse.Namespace, folder: Path, name: str) -> Iterator[Product]:
    """The Raydio that was named, or a new one; for the voice page with the dialogue's model."""
    if options.url:
        yield Product(home=Path(), url=options.url, token=options.token)
        return
    config = folder / "live.yaml"
    config.write_text(json.dumps(applications(folder / "llm.log", "home", "voice")))
    product = running.start(folder, *([str(config)] if name == "voice" else []))
    try:
        yield product
    finally:
        running.stop(product)


def main() -> None:
    """All pages in both schemes, and on a phone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="")
    parser.add_argument("--token", default="")
    parser.add_argument("--pages", nargs="*", default=list(USES))
    options = parser.parse_args()
    IMAGES.mkdir(parents=True, exist_ok=True)
    others = [name for name in options.pages if name != "voice"]
    for names in (others, ["voice"] if "voice" in options.pages else []):
        if names:
            photograph(names, options)


def photograph(names: list[str], options: argparse.Namespace) -> None:
    """Pages that one Raydio serves."""
    chromium = os.environ.get("RAYDIO_CHROMIUM", "/usr/bin/chromium")
    folder = Path(tempfile.mkdtemp(prefix="raydio-screenshots-"))
    flags = ("--no-sandbox", "--autoplay-policy=no-user-gesture-required")
    with serving(options, folder, names[0]) as product, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=[*flags, *microphone(folder / "dialogue.wav")]
        )
        if {"chat", "passage", "embeddings"} & set(names) and product.home != Path():
            running.raydio(product.home, "ingest", *map(str, sorted(DOCUMENTS.glob("*.[mp]d*"))))
        for name in names:
            for scheme, phone in (("light", False), ("dark", False), ("dark", True)):
                print(take(browser, product, name, scheme, phone=phone))


if __name__ == "__main__":
    main()
