"""The home page: what runs, live, and never blocked by a stage that is not there."""

from __future__ import annotations

import asyncio

import pytest
from playwright.sync_api import Page, expect

from serve_apps.errors import NotRunning, StageUnavailable
from serve_apps.wire import ApplicationStatus, StageReport
from tests.fake_clients import APPLICATIONS, FakeCluster, FakeLlm, FakeStt, fake_clients
from tests.ui_server import served
from ui import home


class SilentStt(FakeStt):
    """Does not describe itself."""

    async def describe(self) -> StageReport:
        await asyncio.Event().wait()
        raise AssertionError


class SilentCluster(FakeCluster):
    async def applications(self) -> list[ApplicationStatus]:
        await asyncio.Event().wait()
        return []


class EmptyCluster(FakeCluster):
    async def applications(self) -> list[ApplicationStatus]:
        return []


class BrokenCluster(FakeCluster):
    async def applications(self) -> list[ApplicationStatus]:
        raise NotRunning("There is no <cluster>.")


async def test_a_row_says_everything_about_an_application() -> None:
    seen = await home.look(fake_clients())
    assert seen["well"]
    for fact in ("Fake llm 1M", "fake-llm", "11.8 MiB", "Apache-2.0", "1 of 1", "42 ms / 632 ms", "Healthy"):
        assert fact in seen["html"]
    assert seen["html"].count("<tr>") == 1 + len(APPLICATIONS)


async def test_stages_that_are_coming_up_say_so_and_are_not_asked() -> None:
    cluster = FakeCluster(llm=("fetching", "42 of 89 MiB"), stt=("failed", "no <weights>"))
    seen = await home.look(fake_clients(cluster=cluster))
    assert not seen["well"]
    assert "42 of 89 MiB" in seen["html"]
    assert "no &lt;weights&gt;" in seen["html"]
    assert "Fake llm" not in seen["html"]


async def test_a_silent_and_a_missing_stage_cost_one_deadline_together() -> None:
    llm = FakeLlm()
    llm.down = StageUnavailable("llm", "No replica.")
    async with asyncio.timeout(2 * home.DEADLINE_S):
        seen = await home.look(fake_clients(llm=llm, stt=SilentStt()))
    assert "Fake tts" in seen["html"]
    assert "Fake stt" not in seen["html"]


@pytest.mark.parametrize("cluster", [SilentCluster(), BrokenCluster()])
async def test_a_cluster_that_cannot_be_asked(cluster: FakeCluster) -> None:
    seen = await home.look(fake_clients(cluster=cluster))
    assert "cannot be asked" in seen["html"]
    assert "<cluster>" not in seen["html"]
    assert not seen["well"]


async def test_an_empty_cluster_says_how_to_start() -> None:
    assert "raydio up" in (await home.look(fake_clients(cluster=EmptyCluster())))["html"]


async def test_tabs_share_one_look() -> None:
    cluster = FakeCluster()
    ask = home._overview_question(fake_clients(cluster=cluster))
    assert await ask() == await ask()
    assert cluster.n_calls == 1


def test_home_in_a_browser(page: Page) -> None:
    cluster = FakeCluster(llm=("starting", "loading the weights"))
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    with served(fake_clients(cluster=cluster), "home") as address:
        page.goto(f"{address}/ui/")
        row = page.get_by_role("row", name="llm")
        expect(row).to_contain_text("loading the weights")
        cluster.statuses.clear()
        expect(row).to_contain_text("Fake llm 1M", timeout=10_000)
        expect(page.locator(".ray-codes")).to_contain_text(f"{address}/v1/chat/completions")
        expect(page.locator(".ray-codes")).to_contain_text("$RAYDIO_TOKEN")
        chat = page.get_by_role("navigation", name="Pages").get_by_role("link", name="Chat")
        assert chat.evaluate("link => link.href") == f"{address}/ui/chat/"
        assert [url for url in urls if not url.startswith((address, "data:"))] == []


def test_home_fits_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    with served(fake_clients(), "home") as address:
        page.goto(f"{address}/ui/")
        expect(page.get_by_role("row", name="llm")).to_contain_text("Healthy")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
