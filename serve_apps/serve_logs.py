"""The log files of a run: Serve's, per application, and the supervisor's own."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from serve_apps.errors import NotRunning, UnknownName
from serve_apps.run_state import RunState, log_path

POLL_S = 0.3


def files(state: RunState, application: str = "") -> list[Path]:
    """Log files of one application, or of Serve and all of them.

    Raises:
        UnknownName: the config has no such application.
        NotRunning: there are no logs, because nothing ran here.
    """
    known = [one.name for one in state.applications]
    if application and application not in known:
        raise UnknownName(f"There is no application {application!r}.", f"Known: {', '.join(known)}.")
    if not state.ray_folder:
        if application:
            raise NotRunning("Ray did not start, so there are no logs of applications.", "Try `raydio logs`.")
        return [log_path()]
    serve = Path(state.ray_folder) / "session_latest" / "logs" / "serve"
    if application:
        return sorted(serve.glob(f"replica_{application}_*.log"))
    return [log_path(), *sorted(serve.glob("controller_*.log")), *sorted(serve.glob("replica_*.log"))]


def last_lines(path: Path, n_lines: int) -> list[str]:
    """The end of a file."""
    with path.open(errors="replace") as file:
        return [line.rstrip("\n") for line in deque(file, maxlen=n_lines)]


def follow(state: RunState, application: str = "") -> Iterator[tuple[Path, str]]:
    """New lines of the files, also of replicas that start later, until the caller stops."""
    places = {path: path.stat().st_size for path in files(state, application)}
    while True:
        for path in files(state, application):
            with path.open(errors="replace") as file:
                file.seek(places.get(path, 0))
                for line in file:
                    yield path, line.rstrip("\n")
                places[path] = file.tell()
        time.sleep(POLL_S)
