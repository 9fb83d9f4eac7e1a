"""A Ray cluster of our own on this machine, with Serve on it; or a connection to somebody else's."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path

import ray
from ray import serve
from ray._private.node import Node
from ray._private.parameter import RayParams
from ray.serve.config import HTTPOptions, ProxyLocation

from serve_apps.errors import SetupError
from serve_apps.ray_environment import ray_folder
from serve_apps.settings import settings

OBJECT_STORE_BYTES = 256 << 20
N_SLOTS = 16
"""Ray's logical CPUs: on one machine they only count replicas, which share the real ones."""
GRACE_S = 3.0
"""Time for replicas to end by themselves; the ingress would take 35 s to drain open tabs."""
KEPT_SESSIONS = 3


_nodes: list[Node] = []
"""The node that this process started, if any."""


def start(host: str, port: int) -> Path:
    """Start Ray and Serve's ingress; return the folder of Ray's sessions.

    Starts the node as `ray.init` does, without two processes that it cannot be told to leave out: the
    autoscaler's monitor and the log monitor. That saves 160 MB and a third of the start-up; Ray is
    pinned, and tests/serve fails when a release moves `Node`.

    Raises:
        SetupError: Ray did not come up.
    """
    folder = ray_folder(settings().home_dir)
    _forget_old_sessions(folder)
    try:
        node = Node(
            _parameters(folder), head=True, shutdown_at_exit=True, spawn_reaper=True, ray_init_cluster=True
        )
        _nodes.append(node)
        ray.init(address=node.gcs_address, log_to_driver=False, logging_level=logging.WARNING)
        serve.start(proxy_location=ProxyLocation.HeadOnly, http_options=HTTPOptions(host=host, port=port))
    except (RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        raise SetupError(
            f"Ray did not start: {error}", f"Its logs are in {folder}/session_latest/logs."
        ) from error
    return folder


def _parameters(folder: Path) -> RayParams:
    return RayParams(
        num_cpus=max(N_SLOTS, os.cpu_count() or 1),
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
        include_log_monitor=False,  # type: ignore[arg-type]  # declared as text, used as a truth value
        no_monitor=True,
        temp_dir=str(folder),
    )


def connect(address: str) -> None:
    """Connect to a running cluster.

    Raises:
        SetupError: there is none at that address.
    """
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise SetupError(
            f"No Ray cluster answers at {address}: {error}", "Check --address or RAY_ADDRESS."
        ) from error


def stop() -> None:
    """End Serve, giving replicas a moment, and then Ray; not to be called from a running event loop."""
    if ray.is_initialized():
        asyncio.run(end_serve())
    end()


async def end_serve() -> None:
    """Ask Serve to end, and wait for that no longer than a moment.

    On the loop and not in a thread: one that still spoke with Ray when Ray is ended would end the process.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(GRACE_S):
            await serve.shutdown_async()  # type: ignore[no-untyped-call]


def end() -> None:
    """End Ray at once, with everything on it."""
    ray.shutdown()
    while _nodes:
        _nodes.pop().kill_all_processes(check_alive=False, allow_graceful=True)


def _forget_old_sessions(folder: Path) -> None:
    """Keep the logs of the last runs only."""
    sessions = sorted(path for path in folder.glob("session_2*") if not path.is_symlink())
    for session in sessions[: -KEPT_SESSIONS + 1]:
        shutil.rmtree(session, ignore_errors=True)
