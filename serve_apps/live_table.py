"""What a person sees while applications come up: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from serve_apps.run_state import ApplicationState, RunState

_STYLES = {
    "waiting": "dim",
    "fetching": "cyan",
    "starting": "yellow",
    "healthy": "green",
    "unhealthy": "red",
    "failed": "bold red",
    "absent": "dim",
}
_MOVING = {"fetching", "starting"}
_PHASES = {"checking": "Checking this machine", "starting": "Starting Ray", "stopping": "Stopping"}


def show(states: Iterable[RunState], console: Console) -> RunState | None:
    """Show states as they come, and return the last."""
    return _show_live(states, console) if console.is_terminal else _show_lines(states, console)


def table(state: RunState) -> Table:
    """One row per application."""
    grid = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for title in ("application", "status", "model", "engine", ""):
        grid.add_column(title, overflow="fold")
    for application in state.applications:
        status = Text(application.status, _STYLES[application.status])
        grid.add_row(
            application.name, status, application.model, application.engine, Text(application.message, "dim")
        )
    return grid


def _live(state: RunState) -> Group:
    shown: list[RenderableType] = [table(state)] if state.applications else []
    moving = any(application.status in _MOVING for application in state.applications)
    if state.phase in _PHASES:
        what = "Applications are coming up" if moving else _PHASES[state.phase]
        shown.append(Spinner("dots", Text(what, "dim")))
    return Group(*shown)


def _show_live(states: Iterable[RunState], console: Console) -> RunState | None:
    last = None
    with Live(_live(RunState()), console=console, refresh_per_second=8) as live:
        for last in states:
            live.update(_live(last))
    return last


def _show_lines(states: Iterable[RunState], console: Console) -> RunState | None:
    last, told = None, dict[str, str]()
    for last in states:
        for application in last.applications:
            line = _line(application)
            if told.get(application.name) != line:
                told[application.name] = line
                console.print(line, highlight=False, markup=False, soft_wrap=True)
    return last


def _line(application: ApplicationState) -> str:
    """Without the bytes fetched so far, which would make a line each."""
    told = "" if application.status == "fetching" else application.message
    return f"{application.name}: {application.status}{f' ({told})' if told else ''}"
