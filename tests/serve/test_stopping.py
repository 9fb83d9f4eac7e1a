"""A stop leaves no call behind that still speaks with Ray: Ray ends a process that does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from serve_apps.machine import free_port
from serve_apps.ray_environment import ray_environment, ray_folder

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys, threading
from serve_apps import local_ray
for round in range(2):
    local_ray.start("127.0.0.1", int(sys.argv[1]) + round)
    local_ray.GRACE_S = 0.05  # Serve takes longer
    local_ray.stop()
left = [thread for thread in threading.enumerate() if "_end_serve" in thread.name]
for thread in left:
    thread.join(20)
sys.stdout.write("alive\\n")
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home of its own; Ray's folder for it is removed afterwards."""
    return tmp_path / "home"


def test_a_stop_that_does_not_wait_for_serve_leaves_the_process_alive(home: Path) -> None:
    environment = os.environ | ray_environment(home) | {"RAYDIO_HOME": str(home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT, str(free_port(8760))]
    try:
        ended = subprocess.run(
            command, check=False, capture_output=True, text=True, env=environment, timeout=120
        )
    finally:
        shutil.rmtree(ray_folder(home), ignore_errors=True)
    assert (ended.returncode, ended.stdout.splitlines()[-1:]) == (0, ["alive"]), ended.stderr
