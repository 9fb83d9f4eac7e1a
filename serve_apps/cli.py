"""The command `raydio`. Starts in a blink: Ray is imported by the supervisor only.

Exit status: 0 fine; 1 this machine, the configuration or an application stands in the way, or `status`
found Raydio not ready; 2 wrong usage; 3 `status` found nothing running; 130 Ctrl-C; 143 SIGTERM.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import webbrowser
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from serve_apps import access, cli_documents, cli_eval, fetching, launch, live_table, run_state, serve_logs
from serve_apps.errors import NotRunning, RaydioError, SetupError
from serve_apps.run_state import RunState

EMBEDDED = Path(__file__).parent / "embedded.yaml"
EXIT_FAILED, EXIT_NOT_RUNNING, EXIT_INTERRUPTED, EXIT_TERMINATED = 1, 3, 130, 143

out, err = Console(), Console(stderr=True)


class Commands(TyperGroup):
    """Turns the errors that Raydio raises into one sentence, what to do, and an exit status."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except RaydioError as error:
            err.print(Text("raydio: ", "bold red").append(error.message, "default not bold"), soft_wrap=True)
            if error.hint:
                err.print(Text(f"        {error.hint}"), soft_wrap=True)
            raise typer.Exit(EXIT_FAILED) from error


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Chat, voice, speech and search on your own machine, in your browser.",
)
app.add_typer(cli_eval.app, name="eval")
cli_documents.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"raydio {metadata.version('raydio')}", highlight=False)
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before the command."""


@app.command()
def up(
    config: Annotated[
        Path, typer.Argument(help="Serve config that says what runs.", show_default="embedded.yaml")
    ] = EMBEDDED,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Listen here instead of where the config says.")
    ] = None,
    address: Annotated[
        str, typer.Option(envvar="RAY_ADDRESS", help="Deploy to this Ray cluster instead of starting one.")
    ] = "",
    detach: Annotated[bool, typer.Option("--detach", help="Return when everything is up.")] = False,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the home page when it is up.")
    ] = True,
) -> None:
    """Start everything and print one URL."""
    stay = not detach and not address
    supervisor = launch.start(config, port=port, address=address, stay=stay)
    with _stopping_it_when_interrupted(supervisor):
        state = launch.outcome(supervisor, live_table.show(launch.follow(supervisor), out))
        _welcome(state, browser=browser)
        if stay:
            _stay(supervisor)


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say what runs, and where; exit status 0 when all of it is ready, 1 when not, 3 when nothing runs."""
    state = _current()
    if as_json:
        told = (
            state.public() if state else {"url": "", "ready": False, "phase": "stopped", "applications": []}
        )
        typer.echo(json.dumps(told, indent=1))
    elif state:
        out.print(f"{state.url}  {state.phase}", highlight=False, soft_wrap=True)
        out.print(live_table.table(state))
    else:
        out.print("Raydio is not running: `raydio up` starts it.", highlight=False)
    if not state:
        raise typer.Exit(EXIT_NOT_RUNNING)
    if not state.ready:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def down() -> None:
    """Stop everything and leave nothing behind."""
    state = run_state.read()
    if state is None or not state.alive:
        if state:
            launch.stop(state)  # processes of a killed run
        out.print("Raydio is not running.", highlight=False)
        return
    if state.address:
        importlib.import_module("serve_apps.attached").delete(state)
    elif not launch.stop(state):
        err.print("It did not end by itself and was killed.", highlight=False)
    out.print("Raydio is down.", highlight=False)


@app.command()
def logs(
    application: Annotated[str, typer.Argument(help="One application; all without it.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines.")] = False,
    lines: Annotated[int, typer.Option(min=0, help="Lines from the end of each file.")] = 200,
) -> None:
    """Print the logs of the run, or of the last one."""
    state = run_state.read()
    if state is None:
        raise NotRunning("Raydio never ran here.", "Start it: raydio up.")
    if state.address:
        raise SetupError(f"The logs are on the cluster at {state.address}.", "Read them there: ray logs.")
    for path in serve_logs.files(state, application):
        typer.echo(f"==> {path} <==")
        for line in serve_logs.last_lines(path, lines):
            typer.echo(line)
    if follow:
        with contextlib.suppress(KeyboardInterrupt):
            for path, line in serve_logs.follow(state, application):
                typer.echo(f"{path.stem}: {line}" if not application else line)


@app.command()
def token(
    url: Annotated[bool, typer.Option("--url", help="The home page's URL with the token in it.")] = False,
) -> None:
    """Print the access token that every door asks for."""
    if not url:
        typer.echo(access.token())
        return
    state = _current()
    if not state or not state.url:
        raise NotRunning("Raydio is not running.", "Start it: raydio up.")
    typer.echo(_with_token(state))


@app.command()
def fetch(
    models: Annotated[
        list[str] | None, typer.Argument(help="Names from models.toml; all without any.")
    ] = None,
) -> None:
    """Fetch model weights into the cache, to have them in an image or without a network."""
    fetching.fetch_all(models or [], out)


def _welcome(state: RunState, *, browser: bool) -> None:
    out.print(f"\nRaydio is up after {state.started_s:.0f} s. Open", highlight=False)
    typer.echo(f"  {_with_token(state)}")
    if browser and out.is_terminal and _has_display():
        webbrowser.open(_with_token(state))


def _with_token(state: RunState) -> str:
    return f"{state.url}?token={access.token()}"


def _has_display() -> bool:
    return sys.platform == "darwin" or any(name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _stay(supervisor: subprocess.Popen[bytes]) -> None:
    out.print("Ctrl-C stops it.", highlight=False)
    if supervisor.wait():
        raise SetupError(
            f"The supervisor ended unexpectedly (exit status {supervisor.returncode}).",
            f"Its log is {run_state.log_path()}.",
        )


@contextlib.contextmanager
def _stopping_it_when_interrupted(supervisor: subprocess.Popen[bytes]) -> Iterator[None]:
    def terminated(*_: object) -> None:
        raise SystemExit(EXIT_TERMINATED)

    before = signal.signal(signal.SIGTERM, terminated)
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as interruption:
        out.print("Stopping", highlight=False)
        launch.stop_child(supervisor)
        raise typer.Exit(
            EXIT_INTERRUPTED if isinstance(interruption, KeyboardInterrupt) else EXIT_TERMINATED
        ) from interruption
    finally:
        signal.signal(signal.SIGTERM, before)


def _current() -> RunState | None:
    """The run that goes on, with fresh statuses where nobody else keeps them so."""
    state = run_state.read()
    if state is None or not state.alive:
        return None
    if state.address:
        refreshed: RunState = importlib.import_module("serve_apps.attached").refreshed(state)
        return refreshed
    return state


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    main()
