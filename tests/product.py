"""The product itself, started by its own command: real models, real ports, for tests of the whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from serve_apps.machine import free_port

ROOT = Path(__file__).parents[1]
UP_LIMIT_S, DOWN_LIMIT_S = 240, 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One running Raydio."""

    home: Path
    url: str
    """Scheme, host and port."""
    token: str

    @property
    def headers(self) -> dict[str, str]:
        """The credential, for programs."""
        return {"authorization": f"Bearer {self.token}"}

    def page(self, path: str) -> str:
        """The address of a page for a browser that comes for the first time."""
        return f"{self.url}{path}?token={self.token}"


def raydio(home: Path, *arguments: str, limit_s: float = 60) -> str:
    """Run the command against `home`; its output when it succeeds."""
    done = subprocess.run(
        [sys.executable, "-m", "serve_apps.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=limit_s,
        cwd=ROOT,
        env=os.environ | {"RAYDIO_HOME": str(home), "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, f"raydio {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout


def start(home: Path, *arguments: str) -> Product:
    """`raydio up --detach` on a free port."""
    raydio(
        home, "up", *arguments, "--detach", "--no-browser", "--port", str(free_port(8760)), limit_s=UP_LIMIT_S
    )
    status = json.loads(raydio(home, "status", "--json"))
    assert status["ready"]
    url = status["url"].partition("/ui")[0].rstrip("/")
    return Product(home=home, url=url, token=raydio(home, "token").strip())


def stop(product: Product) -> None:
    """`raydio down`."""
    raydio(product.home, "down", limit_s=DOWN_LIMIT_S)
