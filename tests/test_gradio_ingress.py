"""Every page mounted as the product mounts it, behind the door: what Gradio adds must be safe too."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from serve_apps.args import PAGES, FrontArgs, PageName
from serve_apps.front import build
from serve_apps.gradio_ingress import mount, page_path
from serve_apps.ingress import behind_door
from serve_apps.settings import settings
from tests.fake_clients import fake_clients
from tests.ui_server import served_app
from ui import shell

TOKEN = "t0ken-of-this-installation"
BEARER = {"authorization": f"Bearer {TOKEN}"}
EVIL = {"origin": "https://evil.example"}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The whole front over fake stages, with small uploads, on a real server."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAYDIO_HOME", str(tmp_path_factory.mktemp("home")))
        environment.setenv("RAYDIO_TOKEN", TOKEN)
        environment.setenv("RAYDIO_MAX_UPLOAD_MB", "1")
        settings.cache_clear()
        with served_app(lambda: behind_door(build(FrontArgs(), fake_clients()))) as address:
            yield address


@pytest.fixture
def client(address: str) -> Iterator[httpx.Client]:
    """A signed-in caller."""
    with httpx.Client(base_url=address, headers=BEARER, timeout=30) as client:
        yield client


def config(client: httpx.Client, page: PageName) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"{page_path(page)}/config").json()
    return found


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_recorded_or_sent_home(client: httpx.Client, page: PageName) -> None:
    found = config(client, page)
    assert found["analytics_enabled"] is False
    assert not found.get("run_history")
    assert not found.get("footer_links")
    assert not found.get("mcp_server")
    for path in ("monitoring", "monitoring/summary", "gradio_api/runs", "gradio_api/mcp/sse"):
        assert client.get(f"{page_path(page)}/{path}").status_code in (403, 404), path


@pytest.mark.parametrize("page", PAGES)
async def test_queues_are_wide_and_bounded(page: PageName) -> None:
    """Gradio's defaults are one event at a time and an endless queue. Built in a loop, as Gradio wants."""
    blocks = import_module(f"ui.{page}").build(fake_clients())
    assert blocks._queue.default_concurrency_limit == shell.N_AT_ONCE
    assert blocks._queue.max_size == shell.QUEUE_LIMIT


@pytest.mark.parametrize("page", PAGES)
def test_other_sites_get_no_permission_from_gradio(client: httpx.Client, page: PageName) -> None:
    answer = client.get(f"{page_path(page)}/config", headers=EVIL)
    assert "access-control-allow-origin" not in answer.headers
    preflight = client.options(
        f"{page_path(page)}/gradio_api/queue/join", headers={**EVIL, "access-control-request-method": "POST"}
    )
    assert "access-control-allow-origin" not in preflight.headers


@pytest.mark.parametrize("page", PAGES)
def test_uploads_are_limited(client: httpx.Client, page: PageName) -> None:
    url = f"{page_path(page)}/gradio_api/upload"
    assert client.post(url, files={"files": ("a.txt", b"x" * 1000)}).status_code == 200
    assert client.post(url, files={"files": ("a.txt", b"x" * (1 << 20) + b"xx")}).status_code == 413


@pytest.mark.parametrize(
    "path",
    [
        "file=/etc/passwd",
        "file=../../../../etc/passwd",
        "file=http://169.254.169.254/",
        "proxy=http://e.example",
    ],
)
def test_no_file_of_this_machine_or_of_others_is_served(client: httpx.Client, path: str) -> None:
    assert client.get(f"/ui/stt/gradio_api/{path}").status_code in (403, 404)


def test_errors_of_code_are_not_shown_to_users(client: httpx.Client) -> None:
    """Only errors raised on purpose reach people; a bug's text may hold anything."""
    assert config(client, "chat")["show_error"] is False


def test_home_is_where_the_root_leads(client: httpx.Client) -> None:
    answer = client.get("/", follow_redirects=False)
    assert answer.headers["location"] == "/ui/"


def test_a_page_is_an_application_of_its_own_too() -> None:
    def page() -> FastAPI:
        app = FastAPI()
        mount(app, "tts", fake_clients(), "/")
        return app

    with served_app(page) as address:
        assert httpx.get(f"{address}/config").json()["title"].startswith("Text to speech")
