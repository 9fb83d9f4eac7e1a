"""A real Ray with real Serve on it, for the tests of one file at a time."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest_asyncio

from serve_apps.machine import free_port
from serve_apps.settings import settings
from tests.ray_home import RAY_HOME

Deploy = Callable[[dict[str, Any]], str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deploy() -> AsyncIterator[Deploy]:
    """Deploys the applications of a Serve config; returns the address of the ingress.

    With the throughput settings a handle belongs to the event loop that used it first, so the tests of a
    file share one: `pytestmark = pytest.mark.asyncio(loop_scope="module")`.
    """
    from serve_apps import cluster, local_ray, serve_config  # noqa: PLC0415

    os.environ["RAYDIO_HOME"] = str(RAY_HOME)
    settings.cache_clear()
    port = free_port(8720)
    local_ray.start("127.0.0.1", port)

    def deployed(config: dict[str, Any]) -> str:
        applications = serve_config.validate(config).applications
        cluster.deploy(applications)
        wait_until_healthy({a.name for a in applications})
        return f"http://127.0.0.1:{port}"

    yield deployed
    await local_ray.end_serve()
    local_ray.end()


def wait_until_healthy(names: set[str], timeout_s: float = 90) -> None:
    """Block until every named application is healthy; fail with its reason when it cannot be."""
    from serve_apps import cluster  # noqa: PLC0415

    deadline = time.monotonic() + timeout_s
    while waiting := [a for a in cluster.statuses() if a.name in names and a.status != "healthy"]:
        assert not [a for a in waiting if a.status == "failed"], waiting
        assert time.monotonic() < deadline, waiting
        time.sleep(0.1)
