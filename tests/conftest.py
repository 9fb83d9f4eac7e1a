"""What every test shares: a home, settings read afresh, and Ray's environment before anybody imports Ray."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from serve_apps.settings import settings
from tests.ray_home import RAY_HOME

__all__ = ["RAY_HOME"]


@pytest.fixture(autouse=True)
def raydio_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fresh RAYDIO_HOME, so that no test sees this machine's token or a running Raydio."""
    home = tmp_path / "raydio-home"
    monkeypatch.setenv("RAYDIO_HOME", str(home))
    monkeypatch.delenv("RAYDIO_TOKEN", raising=False)
    settings.cache_clear()
    yield home
    settings.cache_clear()


@pytest.fixture(params=("sqlite", "postgresql"))
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A fresh SQL database with all tables, once of each kind."""
    from serve_apps.database import opened  # noqa: PLC0415 -- most tests need none
    from tests.databases import fresh  # noqa: PLC0415

    with fresh(request.param, tmp_path) as url:
        engine = opened(url)
        yield engine
        deadline = time.monotonic() + 5
        while engine.pool.checkedout() and time.monotonic() < deadline:  # by threads that a test left behind
            time.sleep(0.005)
        engine.dispose()


@pytest.fixture
def page() -> Iterator[Page]:
    """A fresh page in a real, headless Chromium.

    One browser a test: Playwright's loop must be gone before an asynchronous test starts its own.
    """
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser.new_context().new_page()
        browser.close()
