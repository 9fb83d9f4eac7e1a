"""What is known about the Raydio of this home folder: one file, replaced whole on every change.

The supervisor writes it; the command line reads it. A lock that dies with its holder says who owns the home.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict

from serve_apps.errors import AlreadyRunning
from serve_apps.processes import Footprint, is_alive
from serve_apps.settings import settings

Phase = Literal["checking", "starting", "ready", "degraded", "stopping", "stopped", "failed"]
Status = Literal["waiting", "fetching", "starting", "healthy", "unhealthy", "failed", "absent"]


class _State(BaseModel):
    model_config = ConfigDict(protected_namespaces=())


class ApplicationState(_State):
    """One application of the config."""

    name: str
    status: Status = "waiting"
    message: str = ""
    """Why it is not healthy, or how far its weights are; one line."""
    replicas: int = 0
    model: str = ""
    engine: str = ""
    node: str = ""
    """Host that it runs on."""


class Failure(_State):
    """Why a start failed, in the words of an error."""

    message: str
    hint: str = ""


class RunState(_State):
    """One run of Raydio, from its first check to its end."""

    phase: Phase = "checking"
    url: str = ""
    """Where the home page is, without the token."""
    pid: int = 0
    created: float = 0.0
    """The supervisor's creation time; with the pid it cannot be mistaken for another process."""
    address: str = ""
    """A Ray cluster that was there before; empty when this run started its own."""
    ray_address: str = ""
    """The cluster's address for Ray's own tools."""
    ray_folder: str = ""
    """Ray's sessions and logs of this home."""
    started_s: float = 0.0
    """Seconds from the command to all healthy; 0 before."""
    applications: list[ApplicationState] = []
    failure: Failure | None = None
    family: list[Footprint] = []
    """Processes below the supervisor, for cleaning up after it was killed."""

    @property
    def ready(self) -> bool:
        """Whether every application answers."""
        return self.phase == "ready"

    @property
    def alive(self) -> bool:
        """Whether the run goes on."""
        ended = self.phase in {"stopped", "failed"}
        return not ended and (bool(self.address) or is_alive((self.pid, self.created)))

    def public(self) -> dict[str, object]:
        """What `raydio status --json` tells."""
        told = self.model_dump(
            include={"url", "phase", "pid", "address", "started_s", "applications", "failure"}
        )
        return {"url": told.pop("url"), "ready": self.ready, **told}


def run_folder() -> Path:
    """Where the state, the lock and the supervisor's log of this home lie."""
    folder = settings().home_dir / "run"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def log_path() -> Path:
    """The supervisor's own log."""
    return run_folder() / "supervisor.log"


def read() -> RunState | None:
    """The last state that was written, of a run that may be over; None if there never was one."""
    try:
        return RunState.model_validate_json((run_folder() / "state.json").read_bytes())
    except (OSError, ValueError):
        return None


def write(state: RunState) -> None:
    """Replace the state; readers see the old or the new, never a part."""
    unfinished = run_folder() / f".state-{os.getpid()}.json"
    unfinished.write_text(state.model_dump_json(indent=1))
    unfinished.replace(run_folder() / "state.json")


@contextmanager
def ownership() -> Iterator[None]:
    """Own this home until the block, or the process, ends.

    Raises:
        AlreadyRunning: another process does.
    """
    lock = FileLock(run_folder() / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise already_running(read()) from error
    with lock:
        yield


def already_running(state: RunState | None) -> AlreadyRunning:
    """The error that says where the other one is."""
    where = f" at {state.url}" if state and state.url else ""
    return AlreadyRunning(
        f"Raydio runs already{where}.",
        "`raydio status` shows it, `raydio down` stops it; RAYDIO_HOME and --port allow a second one.",
    )
