"""The front as it runs on one machine: pages on real Serve, and a model that can be watched."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from gradio_client import Client
from playwright.async_api import Page, async_playwright, expect

from serve_apps.access import token
from tests.serve.conftest import Deploy
from tests.serve.test_clients import same_home, seen

__all__ = ["same_home"]
pytestmark = pytest.mark.asyncio(loop_scope="module")
N_TABS = 40
UNWATCHED_S = 4


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("llm") / "events.log"
    path.touch()
    return path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(deploy: Deploy, log: Path) -> str:
    args = {
        "engine": "tests.serve.engines:WatchedLlm",
        "engine_options": {"log": str(log)},
        "n_workers": 8,
        "max_waiting": 24,
    }
    return deploy(
        {
            "applications": [
                {
                    "name": "front",
                    "route_prefix": "/",
                    "import_path": "serve_apps.front:app",
                    "args": {"pages": ["home", "chat"], "conversations": {"unwatched_s": UNWATCHED_S}},
                },
                {"name": "llm", "route_prefix": None, "import_path": "serve_apps.llm:app", "args": args},
            ]
        }
    )


@pytest_asyncio.fixture(loop_scope="module")
async def page(url: str) -> AsyncIterator[Page]:
    """The chat page, signed in, in a real Chromium."""
    chromium = os.environ.get("RAYDIO_CHROMIUM") or shutil.which("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = await (await browser.new_context()).new_page()
        await page.goto(f"{url}/ui/chat/?token={token()}")
        yield page
        await browser.close()


async def ask(page: Page, text: str) -> None:
    box = page.get_by_role("textbox", name="Message")
    await box.fill(text)
    await box.press("Enter")


async def test_stop_stops_the_model(page: Page, log: Path) -> None:
    before = log.read_text().count("stopped")
    await ask(page, "hello")
    await expect(page.get_by_text("w3").first).to_be_visible()
    await page.get_by_role("button", name="Stop").click()
    assert await seen(log, lambda text: text.count("stopped") == before + 1)


async def test_closing_the_tab_stops_the_model_when_nobody_comes_back(page: Page, log: Path) -> None:
    before = log.read_text().count("stopped")
    await ask(page, "hello")
    await expect(page.get_by_text("w3").first).to_be_visible()
    await page.close()
    assert await seen(log, lambda text: text.count("stopped") == before + 1)


async def test_who_comes_back_joins_the_running_answer(page: Page, log: Path) -> None:
    before = log.read_text().count("stopped")
    await ask(page, "hello")
    await expect(page.get_by_text("w3").first).to_be_visible()
    again = await page.context.new_page()
    await again.goto(page.url)
    await page.close()
    await expect(again.get_by_text("w3").first).to_be_visible()
    assert log.read_text().count("stopped") == before
    await again.get_by_role("button", name="Stop").click()
    await expect(again.get_by_text("Stopped")).to_be_visible()
    assert await seen(log, lambda text: text.count("stopped") == before + 1)


async def test_a_dead_replica_is_told_in_place_and_the_next_question_is_answered(page: Page) -> None:
    await ask(page, "die late")
    await expect(page.get_by_text("w3").first).to_be_visible()
    await expect(page.get_by_text("interrupted").first).to_be_visible(timeout=20_000)
    await expect(page.get_by_text("w3").first).to_be_visible()
    await page.get_by_role("button", name="Clear").click()
    await ask(page, "finish soon")
    await expect(page.get_by_text("w3").first).to_be_visible(timeout=30_000)


async def test_fifty_chats_at_once_are_answered_or_shed(url: str) -> None:
    client = await asyncio.to_thread(
        Client, f"{url}/ui/chat/", headers={"authorization": f"Bearer {token()}"}, verbose=False
    )
    jobs = [client.submit(f"finish {n}", api_name="/chat") for n in range(50)]
    outcomes = [await asyncio.to_thread(job.exception, 60) for job in jobs]
    shed = [error for error in outcomes if error is not None]
    assert len(shed) < len(jobs)
    assert all(
        "busy" in str(e).lower() or "full" in str(e).lower() or "limit" in str(e).lower() for e in shed
    )


async def test_many_open_tabs_leave_the_page_quick(url: str) -> None:
    """Serve's default of five requests at once froze the fifth tab."""
    headers = {"authorization": f"Bearer {token()}"}
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, headers=headers, limits=limits, timeout=10) as client:
        async with asyncio.TaskGroup() as tabs:
            held = [tabs.create_task(hold(client, n)) for n in range(N_TABS)]
            await asyncio.sleep(0)
            answers = await asyncio.gather(*(client.get("/ui/chat/config") for _ in range(5)))
            for tab in held:
                tab.cancel()
        assert [answer.status_code for answer in answers] == [200] * 5


async def hold(client: httpx.AsyncClient, n: int) -> None:
    """Keep a tab's heartbeat open, as the browser does."""
    async with client.stream("GET", f"/ui/chat/gradio_api/heartbeat/tab{n}") as heartbeat:
        async for _ in heartbeat.aiter_lines():
            pass
