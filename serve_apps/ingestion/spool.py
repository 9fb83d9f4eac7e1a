"""A private folder for files on their way in; what a killed process left there goes with the next start."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from serve_apps.settings import settings

_LOCK = ".lock"


class Room:
    """A folder with paths for temporary files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = itertools.count()

    def new_path(self, suffix: str = "") -> Path:
        """A path in it that no other file has."""
        return self.folder / f"{next(self._numbers)}{suffix}"


class Spool:
    """Rooms for temporary files that nobody else can read (mode 0700 on the folder).

    Its folder is locked for as long as the process lives, so that others know which ones are left over.

    Args:
        root: where spools are; by default in the home folder.
    """

    def __init__(self, root: Path | None = None) -> None:
        root = root or settings().home_dir / "spool"
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(root / _LOCK, mode=0o600):
            _sweep(root)
            self.folder = Path(tempfile.mkdtemp(dir=root))
            self._lock = FileLock(self.folder / _LOCK, mode=0o600)
            self._lock.acquire()

    @contextmanager
    def room(self) -> Iterator[Room]:
        """A folder that is removed at the end with everything in it."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        try:
            yield Room(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Remove the folder with everything in it."""
        self._lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)


def _sweep(root: Path) -> None:
    for folder in root.iterdir():
        if not folder.is_dir():
            continue
        lock = FileLock(folder / _LOCK)
        try:
            with lock.acquire(timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
        except Timeout:
            continue
