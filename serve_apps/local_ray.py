"""A Ray cluster of our own on this machine, with Serve on it; or a connection to somebody else's."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from contextlib import suppress
from pathlib import Path

import ray
from ray import serve
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


def start(host: str, port: int) -> Path:
    """Start Ray and Serve's ingress; return the folder of Ray's sessions."""
    folder = ray_folder(settings().home_dir)
    _forget_old_sessions(folder)
    try:
        ray.init(
            address="local",
            num_cpus=max(N_SLOTS, os.cpu_count() or 1),
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.WARNING,
            _temp_dir=str(folder),
        )
        serve.start(proxy_location=ProxyLocation.HeadOnly, http_options=HTTPOptions(host=host, port=port))
    except (RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        raise SetupError(
            f"Ray did not start: {error}", f"Its logs are in {folder}/session_latest/logs."
        ) from error
    return folder


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
    """End Serve, giving replicas a moment, and then Ray."""
    if ray.is_initialized():
        shutdown = threading.Thread(target=_end_serve, daemon=True)
        shutdown.start()
        shutdown.join(GRACE_S)
        ray.shutdown()


def _end_serve() -> None:
    """Ask Serve to end; Ray leaves by SystemExit from a thread that waits when Ray itself is ended."""
    with suppress(SystemExit):
        serve.shutdown()


def _forget_old_sessions(folder: Path) -> None:
    """Keep the logs of the last runs only."""
    sessions = sorted(path for path in folder.glob("session_2*") if not path.is_symlink())
    for session in sessions[: -KEPT_SESSIONS + 1]:
        shutil.rmtree(session, ignore_errors=True)
