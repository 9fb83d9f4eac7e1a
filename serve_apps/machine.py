"""What this machine can offer before anything starts: ports, memory, disk."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import psutil

from serve_apps.errors import PortInUse, SetupError

MIN_MEMORY_BYTES = 1 << 30
MIN_DISK_BYTES = 512 << 20


def check_port(host: str, port: int) -> None:
    """Make sure that nothing listens on `port`.

    Both binding and connecting are tried: Serve opens its port shared (SO_REUSEPORT), so a second
    Raydio would start in silence and each would get some of the requests.

    Raises:
        PortInUse: something does, or this user may not listen there.
    """
    if _answers(host, port) or not _can_bind(host, port):
        raise PortInUse(
            f"Something else listens on port {port}{_named(port)}.",
            f"Stop it, or choose another: raydio up --port {free_port(port + 1)}.",
        )


def free_port(preferred: int) -> int:
    """`preferred` or the next port that nothing listens on, on any address."""
    port = preferred
    while port < (1 << 16) and (_answers("127.0.0.1", port) or not _can_bind("0.0.0.0", port)):  # noqa: S104
        port += 1
    return port


def check_memory(needed_bytes: int = MIN_MEMORY_BYTES) -> None:
    """Refuse to start what the kernel would soon kill.

    Raises:
        SetupError: less than `needed_bytes` are available to this process.
    """
    free_bytes = available_memory_bytes()
    if free_bytes < needed_bytes:
        raise SetupError(
            f"{free_bytes >> 20} MiB of memory are free; Raydio needs {needed_bytes >> 20} MiB to start.",
            "Close something, or give the container more memory.",
        )


def available_memory_bytes() -> int:
    """Memory that can still be used: the machine's, or the container's where that is less."""
    available: int = psutil.virtual_memory().available
    limit, used = (_cgroup_number(name) for name in ("memory.max", "memory.current"))
    return available if limit is None or used is None else min(available, limit - used)


def check_disk(folder: Path, needed_bytes: int = MIN_DISK_BYTES) -> None:
    """Refuse to start where logs and state would fill the disk.

    Raises:
        SetupError: less than `needed_bytes` are free under `folder`, which must exist.
    """
    free_bytes = psutil.disk_usage(str(folder)).free
    if free_bytes < needed_bytes:
        raise SetupError(
            f"Only {free_bytes >> 20} MiB are free under {folder}; {needed_bytes >> 20} MiB are needed.",
            "Free some space there.",
        )


def _answers(host: str, port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1.0)
        return client.connect_ex(("127.0.0.1" if host == "0.0.0.0" else host, port)) == 0  # noqa: S104


def _can_bind(host: str, port: int) -> bool:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a closed connection may linger on it
        try:
            server.bind((host, port))
        except OSError:
            return False
    return True


def _named(port: int) -> str:
    """The process that listens, where this user may know: " (nginx, pid 12)"."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr
            if listens and listens.port == port and connection.pid:
                return f" ({psutil.Process(connection.pid).name()}, pid {connection.pid})"
    return ""


def _cgroup_number(name: str) -> int | None:
    try:
        return int((Path("/sys/fs/cgroup") / name).read_text())
    except (OSError, ValueError):  # no cgroup v2 here, or "max"
        return None
