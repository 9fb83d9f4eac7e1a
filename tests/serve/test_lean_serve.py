"""Processes that use no pandas have none: neither Serve's own nor a stage's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from serve_apps import processes
from tests.serve.conftest import Deploy

pytestmark = pytest.mark.asyncio(loop_scope="module")
CONFIG = {
    "applications": [
        {
            "name": "llm",
            "route_prefix": None,
            "import_path": "serve_apps.llm:app",
            "args": {"engine": "tests.fake_engines.llm:EchoLlm", "model": ""},
        }
    ]
}
LEAN = ("ray::ServeController", "ray::ServeReplica:llm", "ray::ProxyActor")


async def test_serve_and_a_stage_do_without_pandas(deploy: Deploy) -> None:
    deploy(CONFIG)
    loaded = {}
    for process in Path("/proc").glob("[0-9]*"):
        name = _read(process / "cmdline").split("\0")[0].split(".")[0]
        if name.startswith(LEAN) and int(process.name) in _family():
            loaded[name] = "/pandas/" in _read(process / "maps")
    assert len(loaded) >= len(LEAN)
    assert not any(loaded.values()), loaded


async def test_pandas_can_be_imported_afterwards() -> None:
    code = (
        "import sys; from serve_apps.lean_serve import import_serve; import_serve();"
        "assert 'pandas' not in sys.modules; import ray.serve, pandas; import_serve(); pandas.DataFrame()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)  # noqa: ASYNC221


def _family() -> set[int]:
    return {pid for pid, _ in processes.family(os.getpid())}


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it has ended
        return ""
