"""Starting, following and stopping the supervisor from the command line. Never imports Ray."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from serve_apps import processes, run_state
from serve_apps.errors import SetupError
from serve_apps.ray_environment import ray_environment
from serve_apps.run_state import RunState
from serve_apps.settings import settings

POLL_S = 0.1
EXIT_NOT_OURS = 4
"""Exit status of a supervisor that finds its home owned by another."""
STOP_LIMIT_S = 13.0
"""A little over the supervisor's own limit."""


def start(config: Path, *, port: int | None, address: str, stay: bool) -> subprocess.Popen[bytes]:
    """Start a supervisor in a session of its own; with `stay`, it ends when this process does.

    Raises:
        AlreadyRunning: this home has one.
    """
    state = run_state.read()
    if state and state.alive and not state.address:
        raise run_state.already_running(state)
    command = [sys.executable, "-m", "serve_apps.supervisor", str(config)]
    command += ["--port", str(port)] if port else []
    command += ["--address", address] if address else []
    command += ["--parent", str(os.getpid())] if stay and not address else []
    environment = os.environ | ({} if address else ray_environment(settings().home_dir))
    with run_state.log_path().open("wb") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


def follow(supervisor: subprocess.Popen[bytes]) -> Iterator[RunState]:
    """Every state that the supervisor writes, until it is ready or has ended."""
    last: RunState | None = None
    ended = False
    while not ended:
        ended = supervisor.poll() is not None  # before reading: its last state is written before it ends
        state = run_state.read()
        if state and state.pid == supervisor.pid and state != last:
            last = state
            yield state
            if state.ready:
                return
        if not ended:
            time.sleep(POLL_S)


def outcome(supervisor: subprocess.Popen[bytes], state: RunState | None) -> RunState:
    """The state of a run that came up.

    Raises:
        SetupError: it did not; with the supervisor's reason where it could give one.
    """
    if state and state.ready:
        return state
    if state and state.failure:
        raise SetupError(state.failure.message, state.failure.hint)
    if supervisor.poll() == EXIT_NOT_OURS:
        raise run_state.already_running(run_state.read())
    if supervisor.poll() is not None and not (state and state.phase == "stopped"):
        if state:
            processes.stop(state.family)
        raise SetupError(
            f"The supervisor ended unexpectedly (exit status {supervisor.returncode}).",
            f"Its log is {run_state.log_path()}.",
        )
    raise SetupError("Raydio was stopped while it started.", "")


def stop(state: RunState) -> bool:
    """Stop a run and everything that belongs to it.

    Returns:
        Whether it ended by itself; otherwise it was killed.
    """
    me = (state.pid, state.created)
    family = {*state.family} | (processes.family(state.pid) if processes.is_alive(me) else set())
    polite = not processes.is_alive(me) or _end(state.pid)
    processes.stop({*family, me})
    return polite


def stop_child(supervisor: subprocess.Popen[bytes]) -> None:
    """Stop the supervisor that this process started, whether or not it has written its state yet."""
    state = run_state.read()
    if state and state.pid == supervisor.pid:
        stop(state)
    else:
        supervisor.terminate()
    supervisor.wait(STOP_LIMIT_S)


def _end(pid: int) -> bool:
    try:
        process = psutil.Process(pid)
        process.terminate()
        process.wait(STOP_LIMIT_S)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True
