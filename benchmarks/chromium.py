"""Pages in a real Chromium: how long until a person can type, and what a press on Enter sends."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Request, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from benchmarks.mock_engine import TOKEN
from benchmarks.raw_http import Target
from benchmarks.systems import CannotRun

_VISIBLE = """() => {
  const boxes = [...document.querySelectorAll('textarea')];
  return boxes.some((box) => box.offsetParent !== null) && performance.now();
}"""
_GRADIO = "/gradio_api/"
_TIMEOUT_MS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstPage:
    """One load of a page, nothing cached."""

    visible_ms: float
    """From the start of the navigation until the text box can be seen."""
    wire_kb: float
    """Bytes on the wire, in KB, until the network is quiet."""
    n_requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request that the page sent."""

    path: str
    """Under the page's own address."""
    body: dict[str, Any]
    after: int | None
    """Index of the call whose end set this one off; None for those that the key press itself sent."""


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless Chromium.

    Raises:
        CannotRun: there is none.
    """
    with sync_playwright() as playwright:
        try:
            running = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        except PlaywrightError as error:
            raise CannotRun(f"Chromium does not start: {error.message.splitlines()[0]}") from error
        try:
            yield running
        finally:
            running.close()


@contextmanager
def _page(running: Browser, target: Target) -> Iterator[Page]:
    """A page in a context of its own, so with an empty cache; the credential travels as a header."""
    context = running.new_context(extra_http_headers=target.headers)
    context.set_default_timeout(_TIMEOUT_MS)
    try:
        yield context.new_page()
    finally:
        context.close()


def first_page(running: Browser, target: Target) -> FirstPage:
    """Load a page cold."""
    with _page(running, target) as page:
        sizes: list[float] = []
        session = page.context.new_cdp_session(page)
        session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
        session.send("Network.enable")
        page.goto(f"{target.url}/", wait_until="commit")
        visible_ms = page.wait_for_function(_VISIBLE, polling="raf").json_value()
        page.wait_for_load_state("load")
        page.wait_for_timeout(1000)  # an open page holds a stream, so the network is never idle by itself
        return FirstPage(visible_ms=visible_ms, wire_kb=sum(sizes) / 1000, n_requests=len(sizes))


def calls_of_enter(running: Browser, target: Target, text: str) -> list[Call]:
    """What the page sends from the press on Enter until the mock's answer is shown."""
    requests: list[Request] = []
    with _page(running, target) as page:
        page.goto(f"{target.url}/")
        box = page.locator("textarea:visible").first
        box.fill(text)
        page.wait_for_timeout(1500)  # what the page sends by itself when it opens is over
        page.on("request", lambda request: requests.append(request) if _GRADIO in request.url else None)
        box.press("Enter")
        page.get_by_text(TOKEN.strip()).first.wait_for()
        page.wait_for_timeout(1000)  # only requests that have ended know when they did
        return _in_order(requests, urlsplit(target.url).path)


def _in_order(requests: list[Request], page_path: str) -> list[Call]:
    """The posts among `requests`, each with the one that ended last before it began."""
    posts = [request for request in requests if request.method == "POST"]
    ends = [_ended(post, requests) for post in posts]
    calls: list[Call] = []
    for post in posts:
        began = post.timing["startTime"]
        before = [(end, index) for index, end in enumerate(ends) if end <= began]
        path = urlsplit(post.url).path.removeprefix(page_path)
        after = max(before)[1] if before else None
        calls.append(Call(path=path, body=json.loads(post.post_data or "{}"), after=after))
    return calls


def _ended(post: Request, requests: list[Request]) -> float:
    """When a call ended: with its answer, or, when it was queued, with the stream of its events."""
    if post.url.endswith("/queue/join"):
        streams = (r for r in requests[requests.index(post) :] if "/queue/data" in r.url)
        post = next(streams, post)
    timing = post.timing
    return math.inf if timing["responseEnd"] < 0 else timing["startTime"] + timing["responseEnd"]
