"""The command `raydio` itself, from its start to a machine without a trace of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from serve_apps import processes
from serve_apps.machine import free_port
from serve_apps.ray_environment import ray_folder
from serve_apps.run_state import RunState

ROOT = Path(__file__).parents[2]
CONFIG = """
http_options: {host: 127.0.0.1, port: 8000}
applications:
  - name: NAME
    route_prefix: null
    import_path: serve_apps.llm:app
    args: {engine: "ENGINE", model: ""}
"""
ECHO = "tests.fake_engines.llm:EchoLlm"


class Raydio:
    """The real command, with a home, a port and a config of its own."""

    def __init__(self, folder: Path, name: str, engine: str = ECHO) -> None:
        self.home = folder / f"home-{name}"
        self.port = free_port(8740)
        self.config = folder / f"{name}.yaml"
        self.config.write_text(CONFIG.replace("NAME", name).replace("ENGINE", engine))
        self.environment = os.environ | {"RAYDIO_HOME": str(self.home), "PYTHONPATH": str(ROOT)}
        self.seen: set[processes.Footprint] = set()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "serve_apps.cli", *arguments],
            check=False,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=120,
        )

    def up(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        options = ("--port", str(self.port), "--no-browser", *arguments)
        return self.command("up", str(self.config), *options)

    @contextmanager
    def in_the_foreground(self) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, "-m", "serve_apps.cli", "up", str(self.config)]
        # A runner started in the background ignores Ctrl-C, and its children would inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with subprocess.Popen(
            [*command, "--port", str(self.port), "--no-browser"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment,
        ) as process:
            yield process

    def state(self) -> RunState | None:
        """What the supervisor wrote, remembering every process that it ever named."""
        path = self.home / "run" / "state.json"
        if not path.exists():
            return None
        state = RunState.model_validate_json(path.read_text())
        supervisor = (state.pid, state.created)
        living = processes.family(state.pid) if processes.is_alive(supervisor) else set()
        self.seen |= {*state.family, *living, supervisor}
        return state

    def wait_for(self, condition: Callable[[RunState], bool]) -> RunState:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            state = self.state()
            if state and condition(state):
                return state
            time.sleep(0.05)
        raise TimeoutError(f"{self.state()}")

    def clean_up(self) -> None:
        self.command("down")
        shutil.rmtree(ray_folder(self.home))

    def assert_nothing_is_left(self) -> None:
        assert self.seen
        left = [psutil.Process(pid) for pid, created in self.seen if processes.is_alive((pid, created))]
        assert left == []
        assert not listens(self.port)


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def raydio(tmp_path: Path) -> Iterator[Raydio]:
    one = Raydio(tmp_path, "llm")
    yield one
    one.clean_up()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Raydio]:
    """One that is up for every test that only looks at it."""
    one = Raydio(tmp_path_factory.mktemp("running"), "llm")
    done = one.up("--detach")
    assert done.returncode == 0, done.stderr
    one.state()
    yield one
    one.clean_up()


def test_up_prints_one_url_with_its_token(running: Raydio) -> None:
    told = running.command("token", "--url")
    secret = running.command("token").stdout.strip()
    assert told.stdout == f"http://127.0.0.1:{running.port}/?token={secret}\n"


def test_status_says_what_runs(running: Raydio) -> None:
    done = running.command("status", "--json")
    assert done.returncode == 0
    status = json.loads(done.stdout)
    assert status["ready"] is True
    assert status["url"] == f"http://127.0.0.1:{running.port}/"
    (application,) = status["applications"]
    assert application == application | {"name": "llm", "status": "healthy", "replicas": 1, "engine": ECHO}
    assert application["node"] == socket.gethostname()


def test_logs_of_an_application(running: Raydio) -> None:
    done = running.command("logs", "llm")
    assert done.returncode == 0
    assert "replica_llm_" in done.stdout


def test_a_second_one_in_the_same_home_is_refused(running: Raydio) -> None:
    done = running.up("--detach")
    assert done.returncode == 1
    assert f"runs already at http://127.0.0.1:{running.port}/" in done.stderr


def test_the_same_port_is_refused(running: Raydio, tmp_path: Path) -> None:
    other = Raydio(tmp_path, "other")
    other.port = running.port
    done = other.up("--detach")
    assert done.returncode == 1
    assert f"Something else listens on port {running.port} (haproxy" in done.stderr
    assert running.command("status").returncode == 0


def test_it_deploys_to_a_cluster_that_is_there(running: Raydio, tmp_path: Path) -> None:
    state = running.state()
    assert state
    access = {
        "RAY_ADDRESS": state.ray_address,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(running.home / "ray_token"),
    }
    guest = Raydio(tmp_path, "guest")
    guest.environment |= access
    done = guest.up()
    assert done.returncode == 0, done.stderr
    status = json.loads(guest.command("status", "--json").stdout)
    assert [(one["name"], one["status"]) for one in status["applications"]] == [("guest", "healthy")]
    assert guest.command("down").returncode == 0
    assert guest.command("status").returncode == 3
    assert running.command("status").returncode == 0


def test_a_second_home_runs_beside_it_until_ctrl_c(raydio: Raydio, running: Raydio) -> None:
    with raydio.in_the_foreground() as process:
        raydio.wait_for(lambda state: state.ready)
        assert listens(raydio.port)
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 130
    raydio.assert_nothing_is_left()
    assert raydio.command("status").returncode == 3
    assert running.command("status").returncode == 0
    assert listens(running.port)


def test_down_leaves_nothing(running: Raydio) -> None:
    running.state()
    began = time.monotonic()
    assert running.command("down").returncode == 0
    assert time.monotonic() - began < 15
    running.assert_nothing_is_left()


def test_sigterm_while_starting_stops_everything(raydio: Raydio) -> None:
    with raydio.in_the_foreground() as process:
        raydio.wait_for(lambda state: len(state.family) > 3)
        process.terminate()
        assert process.wait(15) == 143
    raydio.assert_nothing_is_left()


def test_up_recovers_after_a_kill_and_a_killed_command_takes_everything_with_it(raydio: Raydio) -> None:
    assert raydio.up("--detach").returncode == 0
    killed = raydio.state()
    assert killed
    os.kill(killed.pid, signal.SIGKILL)
    assert raydio.command("status").returncode == 3
    with raydio.in_the_foreground() as process:
        raydio.wait_for(lambda state: state.ready and state.pid != killed.pid)
        assert [one for one in killed.family if processes.is_alive(one)] == []
        process.kill()
    raydio.wait_for(lambda state: not processes.is_alive((state.pid, state.created)))
    raydio.assert_nothing_is_left()


def test_an_application_that_fails_is_told_and_all_is_stopped(tmp_path: Path) -> None:
    one = Raydio(tmp_path, "llm", engine="tests.fake_engines.nowhere:Missing")
    done = one.up("--detach")
    one.state()
    assert done.returncode == 1
    assert "The application llm failed to start" in done.stderr
    assert "raydio logs llm" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    one.assert_nothing_is_left()
    assert one.command("logs", "llm").returncode == 0
    one.clean_up()
