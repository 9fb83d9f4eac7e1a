"""What every test shares: a home of its own, and settings read afresh."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from serve_apps.settings import settings


@pytest.fixture(autouse=True)
def raydio_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fresh RAYDIO_HOME, so that no test sees this machine's token or a running Raydio."""
    home = tmp_path / "raydio-home"
    monkeypatch.setenv("RAYDIO_HOME", str(home))
    monkeypatch.delenv("RAYDIO_TOKEN", raising=False)
    settings.cache_clear()
    yield home
    settings.cache_clear()
