"""The process that owns one run: it checks, fetches, starts Ray, deploys, watches and cleans up.

`raydio up` starts it in a session of its own and follows the state that it writes (`serve_apps.run_state`).
It ends on SIGTERM or SIGINT, or when the `raydio up` in the foreground that started it is gone.
"""

# ruff: noqa: E402 -- nothing may import Serve before `lean_serve` does

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from serve_apps import lean_serve

lean_serve.import_serve()

import ray
from ray.serve.exceptions import RayServeException

from serve_apps import cluster, local_ray, machine, processes, run_state, serve_config
from serve_apps.args import StageArgs
from serve_apps.errors import AlreadyRunning, RaydioError, SetupError
from serve_apps.fetching import Fetching
from serve_apps.launch import EXIT_NOT_OURS
from serve_apps.run_state import ApplicationState, Failure, Phase, RunState
from serve_apps.serve_config import ApplicationConfig, DeployConfig
from serve_apps.settings import settings
from serve_apps.wire import ApplicationStatus

EXIT_FAILED = 1
STARTING_POLL_S, READY_POLL_S = 0.25, 2.0
STOP_LIMIT_S = 10.0
"""Everything is killed when stopping takes longer."""

_log = logging.getLogger("raydio")


class Run:
    """One run of Raydio.

    Args:
        config_path: the Serve config to deploy.
        port: where to listen, in place of the config's port.
        address: a Ray cluster to deploy to, in place of one of our own.
        parent: the process to end with, if any.
    """

    def __init__(
        self, config_path: Path, port: int | None, address: str, parent: processes.Footprint | None
    ) -> None:
        self._config_path = config_path
        self._port = port
        self._parent = parent
        self._stop = threading.Event()
        self._waiting: list[ApplicationConfig] = []
        self._doors: set[str] = set()
        self._fetching = Fetching(())
        me = psutil.Process()
        self._state = RunState(pid=me.pid, created=me.create_time(), address=address)

    def go(self) -> int:
        """Start, watch until told to stop, clean up; the exit status of the process."""
        self._listen_to_signals()
        try:
            with run_state.ownership():
                return self._owned()
        except AlreadyRunning:
            return EXIT_NOT_OURS

    def _owned(self) -> int:
        self._clean_up_after_a_crash()
        self._publish("checking")
        try:
            self._start(self._checked())
            if not self._state.address:
                self._watch()
        except RaydioError as error:
            _log.exception("The start failed")
            self._state.failure = Failure(message=error.message, hint=error.hint)
        finally:
            if not self._state.address:
                self._tear_down()
        if self._state.failure:
            self._publish("failed")
            return EXIT_FAILED
        if not self._state.ready:
            self._publish("stopped")
        return 0

    def _checked(self) -> DeployConfig:
        config = serve_config.load(self._config_path)
        self._port = self._port or config.port
        self._state.applications = [_waiting(application) for application in config.applications]
        self._state.url = _url(config.host, self._port, self._state.address)
        if not self._state.address:
            machine.check_port(config.host, self._port)
            machine.check_memory()
            machine.check_disk(settings().home_dir)
        return config

    def _start(self, config: DeployConfig) -> None:
        began = time.monotonic()
        self._fetching = Fetching(config.models())
        self._waiting = list(config.applications)
        self._doors = {one.name for one in config.applications if one.route_prefix}
        self._publish("starting")
        if self._state.address:
            local_ray.connect(self._state.address)
        else:
            self._state.ray_folder = str(local_ray.start(config.host, self._port or config.port))
            self._state.ray_address = ray.get_runtime_context().gcs_address
            self._listen_to_signals()  # ray.init replaces the handlers
        while not self._told_to_stop(STARTING_POLL_S):
            self._deploy_what_is_fetched()
            self._refresh()
            if all(application.status == "healthy" for application in self._state.applications):
                self._state.started_s = round(time.monotonic() - began, 1)
                self._publish("ready")
                return

    def _deploy_what_is_fetched(self) -> None:
        """Doors go first and alone: with all replicas starting at once, the home page would come up last."""
        ready = [one for one in self._waiting if self._fetching.is_done(_model_of(one))]
        ready = [one for one in ready if one.route_prefix] or ([] if self._doors_are_opening() else ready)
        self._waiting = [one for one in self._waiting if one not in ready]
        if ready:
            cluster.deploy(ready)

    def _doors_are_opening(self) -> bool:
        waiting = {one.name for one in self._waiting}
        doors = [state for state in self._state.applications if state.name in self._doors - waiting]
        return any(state.status != "healthy" for state in doors)

    def _watch(self) -> None:
        while not self._told_to_stop(READY_POLL_S):
            self._refresh()
            healthy = all(application.status == "healthy" for application in self._state.applications)
            self._publish("ready" if healthy else "degraded")

    def _refresh(self) -> None:
        found = {status.name: status for status in self._statuses()}
        waiting = {application.name: application for application in self._waiting}
        for state in self._state.applications:
            if state.name in waiting:
                state.status, state.message = self._fetching.progress_of(_model_of(waiting[state.name]))
            elif state.name in found:
                _take_over(found[state.name], state, "" if self._state.address else socket.gethostname())
        self._publish(self._state.phase)
        if self._state.phase == "starting":
            self._refuse_failed()

    def _statuses(self) -> list[ApplicationStatus]:
        try:
            return cluster.statuses()
        except (ray.exceptions.RayError, RayServeException, TimeoutError) as error:
            _log.warning("Serve does not answer: %s", error)
            return [_silent(application.name) for application in self._state.applications]

    def _refuse_failed(self) -> None:
        for state in self._state.applications:
            if state.status == "failed":
                raise SetupError(
                    f"The application {state.name} failed to start: {state.message}",
                    f"`raydio logs {state.name}` shows the whole trace.",
                )

    def _publish(self, phase: Phase) -> None:
        self._state.phase = phase
        self._state.family = sorted(processes.family(os.getpid()))
        run_state.write(self._state)

    def _told_to_stop(self, wait_s: float) -> bool:
        orphaned = self._parent is not None and not processes.is_alive(self._parent)
        return orphaned or self._stop.wait(wait_s)

    def _listen_to_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())

    def _tear_down(self) -> None:
        self._publish("stopping")
        _within(STOP_LIMIT_S, self._kill_everything, local_ray.stop)
        processes.stop(processes.family(os.getpid()))

    def _kill_everything(self) -> None:
        _log.error("Stopping took over %s s: killing what is left", STOP_LIMIT_S)
        processes.stop(processes.family(os.getpid()))
        self._publish("stopped")
        os._exit(EXIT_FAILED)

    @staticmethod
    def _clean_up_after_a_crash() -> None:
        previous = run_state.read()
        if previous:
            left = processes.stop(previous.family)
            if left:
                _log.warning("Processes of an earlier run do not end: %s", left)


def _within(limit_s: float, otherwise: Callable[[], None], work: Callable[[], None]) -> None:
    watchdog = threading.Timer(limit_s, otherwise)
    watchdog.daemon = True
    watchdog.start()
    try:
        work()
    finally:
        watchdog.cancel()


def _model_of(application: ApplicationConfig) -> str:
    return application.args.model if isinstance(application.args, StageArgs) else ""


def _waiting(application: ApplicationConfig) -> ApplicationState:
    engine = application.args.engine if isinstance(application.args, StageArgs) else ""
    return ApplicationState(name=application.name, model=_model_of(application), engine=engine)


def _silent(name: str) -> ApplicationStatus:
    return ApplicationStatus(
        name=name, status="unhealthy", message="Serve does not answer", n_replicas=0, n_replicas_target=0
    )


def _take_over(status: ApplicationStatus, state: ApplicationState, node: str) -> None:
    if status.status != "failed" or not state.message:  # what went wrong on the way there says more
        state.message = status.message
    state.status, state.replicas = status.status, status.n_replicas
    state.node = node if status.n_replicas else ""


def _url(host: str, port: int, address: str) -> str:
    """Where a browser finds the home page: a wildcard address is not one that can be opened."""
    if address:
        host = urlsplit(address).hostname or host
    return f"http://{'127.0.0.1' if host in {'', '0.0.0.0', '::', 'auto'} else host}:{port}/"  # noqa: S104


def main() -> int:
    """Run until told to stop."""
    parser = argparse.ArgumentParser(prog="raydio-supervisor", description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--port", type=int)
    parser.add_argument("--address", default="")
    parser.add_argument("--parent", type=int, default=0)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    processes.adopt_orphans()
    parent = processes.footprint(options.parent) if options.parent else None
    return Run(options.config, options.port, options.address, parent).go()


if __name__ == "__main__":
    sys.exit(main())
