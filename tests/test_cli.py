from __future__ import annotations

import io
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from click.testing import Result
from rich.console import Console
from typer.testing import CliRunner

from serve_apps import launch, live_table, processes, run_state
from serve_apps.cli import app
from serve_apps.errors import AlreadyRunning, SetupError
from serve_apps.run_state import ApplicationState, RunState

CONFIG = """
http_options: {host: 127.0.0.1, port: PORT}
applications:
  - name: llm
    route_prefix: null
    import_path: serve_apps.llm:app
    args: {engine: "tests.fake_engines.llm:EchoLlm", model: ""}
"""


def raydio(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def running(**changes: object) -> RunState:
    """A state that counts as alive, because its supervisor is this test's process."""
    me = psutil.Process()
    state = RunState(
        phase="ready",
        url="http://127.0.0.1:8000/",
        pid=me.pid,
        created=me.create_time(),
        applications=[ApplicationState(name="llm", status="healthy", replicas=1, engine="echo", model="m")],
    )
    return state.model_copy(update=changes)


def test_version() -> None:
    told = raydio("--version")
    assert told.exit_code == 0
    assert re.fullmatch(r"raydio \d+\.\d+\.\d+\S*\n", told.stdout)


@pytest.mark.parametrize("arguments", [["up", "--prot", "8000"], ["upp"], ["up", "--port", "70000"]])
def test_wrong_usage(arguments: list[str]) -> None:
    assert raydio(*arguments).exit_code == 2


def test_status_when_nothing_runs() -> None:
    assert raydio("status").exit_code == 3
    told = raydio("status", "--json")
    assert told.exit_code == 3
    assert json.loads(told.stdout) == {"url": "", "ready": False, "phase": "stopped", "applications": []}


def test_status_when_ready() -> None:
    run_state.write(running())
    told = raydio("status", "--json")
    assert told.exit_code == 0
    status = json.loads(told.stdout)
    assert status["ready"] is True
    assert status["url"] == "http://127.0.0.1:8000/"
    assert status["applications"][0] == {
        "name": "llm",
        "status": "healthy",
        "message": "",
        "replicas": 1,
        "model": "m",
        "engine": "echo",
        "node": "",
    }
    assert "healthy" in raydio("status").stdout


@pytest.mark.parametrize("phase", ["starting", "degraded"])
def test_status_when_not_ready(phase: str) -> None:
    run_state.write(running(phase=phase))
    assert raydio("status").exit_code == 1


def test_status_of_a_run_whose_process_is_gone() -> None:
    run_state.write(running(created=1.0))
    assert raydio("status").exit_code == 3


def test_a_second_one_is_refused_with_its_place() -> None:
    run_state.write(running())
    told = raydio("up")
    assert told.exit_code == 1
    assert "runs already at http://127.0.0.1:8000/" in told.stderr
    assert "raydio down" in told.stderr


def test_down_when_nothing_runs() -> None:
    told = raydio("down")
    assert (told.exit_code, told.stdout) == (0, "Raydio is not running.\n")


def test_down_cleans_up_after_a_killed_run() -> None:
    with subprocess.Popen(["sleep", "60"]) as orphan:
        created = psutil.Process(orphan.pid).create_time()
        run_state.write(running(created=1.0, family=[(orphan.pid, created)]))
        assert raydio("down").exit_code == 0
        assert not processes.is_alive((orphan.pid, created))


def test_token_is_made_once_and_private(raydio_home: Path) -> None:
    first = raydio("token").stdout
    assert len(first.strip()) >= 32
    assert raydio("token").stdout == first
    assert (raydio_home / "token").stat().st_mode & 0o777 == 0o600


def test_token_url() -> None:
    assert raydio("token", "--url").exit_code == 1
    run_state.write(running())
    secret = raydio("token").stdout.strip()
    assert raydio("token", "--url").stdout == f"http://127.0.0.1:8000/?token={secret}\n"


def test_logs(tmp_path: Path) -> None:
    assert "never ran" in raydio("logs").stderr
    serve = tmp_path / "session_latest" / "logs" / "serve"
    serve.mkdir(parents=True)
    (serve / "replica_llm_llm_abc.log").write_text("".join(f"line {n}\n" for n in range(500)))
    (serve / "replica_tts_tts_abc.log").write_text("other\n")
    run_state.log_path().touch()
    run_state.write(running(ray_folder=str(tmp_path)))
    told = raydio("logs", "llm", "--lines", "2")
    assert told.stdout.splitlines()[1:] == ["line 498", "line 499"]
    assert "other" in raydio("logs").stdout
    unknown = raydio("logs", "lm")
    assert unknown.exit_code == 1
    assert "no application 'lm'" in unknown.stderr


def test_fetch_of_an_unknown_model() -> None:
    told = raydio("fetch", "all-minilm-l6")
    assert told.exit_code == 1
    assert "Did you mean 'all-minilm-l6-v2'?" in told.stderr


def test_the_command_starts_in_a_blink_without_ray() -> None:
    program = "import sys, serve_apps.cli; assert not {'ray', 'gradio', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_up_refuses_a_port_in_use(tmp_path: Path, listener: int) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.replace("PORT", str(listener)))
    told = raydio("up", str(config), "--detach", "--no-browser")
    assert told.exit_code == 1
    assert f"Something else listens on port {listener}" in told.stderr
    assert "raydio up --port" in told.stderr
    assert raydio("status").exit_code == 3


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (CONFIG.replace("PORT", "8000").replace("engine:", "engin:"), "Did you mean 'engine'?"),
        (
            CONFIG.replace("PORT", "8000").replace("applications:", "aplications:"),
            "Did you mean 'applications'?",
        ),
        ("applications: [", "not valid YAML"),
        (None, "Cannot read the config"),
    ],
    ids=["args", "top", "yaml", "absent"],
)
def test_up_refuses_a_wrong_config(tmp_path: Path, config: str | None, says: str) -> None:
    path = tmp_path / "config.yaml"
    if config:
        path.write_text(config)
    told = raydio("up", str(path), "--detach", "--no-browser")
    assert told.exit_code == 1
    assert says in told.stderr
    assert "Traceback" not in told.output


def test_a_supervisor_that_dies_is_told() -> None:
    dead = subprocess.Popen([sys.executable, "-c", "raise SystemExit(9)"])
    dead.wait()
    with pytest.raises(SetupError, match=r"ended unexpectedly \(exit status 9\).*supervisor.log"):
        launch.outcome(dead, None)


def test_losing_the_race_for_a_home_is_told() -> None:
    late = subprocess.Popen([sys.executable, "-c", f"raise SystemExit({launch.EXIT_NOT_OURS})"])
    late.wait()
    with pytest.raises(AlreadyRunning, match="runs already"):
        launch.outcome(late, None)


def test_only_one_process_owns_a_home() -> None:
    program = "from serve_apps import run_state\nwith run_state.ownership(): pass"
    with run_state.ownership():
        second = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert "AlreadyRunning" in second.stderr
    with run_state.ownership():
        pass


def test_without_a_terminal_each_change_is_a_line() -> None:
    def at(status: str, message: str = "") -> RunState:
        return RunState(
            applications=[
                ApplicationState.model_validate({"name": "llm", "status": status, "message": message})
            ]
        )

    written = io.StringIO()
    states = [
        at("fetching", "1 of 9 MiB"),
        at("fetching", "2 of 9 MiB"),
        at("starting"),
        at("failed", "[boom]"),
    ]
    assert live_table.show(states, Console(file=written)) == states[-1]
    assert written.getvalue().splitlines() == ["llm: fetching", "llm: starting", "llm: failed ([boom])"]


def test_on_a_terminal_there_is_a_table() -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=100)
    assert live_table.show([running(phase="starting"), running()], console) == running()
    assert "application" in written.getvalue()
    assert "healthy" in written.getvalue()


def test_states_are_replaced_whole() -> None:
    for n in range(50):
        run_state.write(running(started_s=float(n)))
        state = run_state.read()
        assert state
        assert state.started_s == n
    assert [path.name for path in run_state.run_folder().iterdir()] == ["state.json"]
