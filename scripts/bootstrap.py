"""Make `.venv` with everything Raydio needs, on a machine that has only Python 3.11 or later.

    python3 scripts/bootstrap.py [--extra test] [--python /usr/bin/python3.12]

Only the standard library, no root. Runs again in a blink when nothing changed. Works where Debian left out
`ensurepip` (the package python3-venv): then pip's own wheel comes straight from the package index.
"""

from __future__ import annotations

import argparse
import configparser
import hashlib
import html
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PIP_VERSION = "26.3"
PIP_SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"
SUITABLE = ((3, 13), (3, 12), (3, 11))
NEEDED_BYTES = 2 << 30
NO_PYTHON = """Raydio needs Python 3.11, 3.12 or 3.13, and none is on the PATH.
Install one (Debian 12, Ubuntu 24.04 and later: apt-get install python3), or name it:
    make up PYTHON=/path/to/python3.12"""


class BootstrapError(Exception):
    """What stands in the way, and what to do."""


def main() -> int:
    """Bring `.venv` up to date; 0 when it is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--extra", action="append", default=[], help="an extra of pyproject.toml to install too"
    )
    parser.add_argument("--python", default="", help="interpreter to use instead of the newest suitable one")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        Environment(options.root).update(set(options.extra), options.python)
    except BootstrapError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; the next run continues.", file=sys.stderr)
        return 130
    return 0


def choose_python(wanted: str = "") -> str:
    """The interpreter to make `.venv` with: the wanted one, or the newest suitable on the PATH.

    Candidates are run, not only found: a pyenv shim exists for versions that are not active.
    """
    if wanted:
        if version_of(wanted) not in SUITABLE:
            raise BootstrapError(f"PYTHON={wanted} does not run, or is not Python 3.11, 3.12 or 3.13.")
        return wanted
    for version in SUITABLE:
        for name in (f"python{version[0]}.{version[1]}", "python3", "python"):
            if version_of(name) == version:
                return name
    raise BootstrapError(NO_PYTHON)


def version_of(python: str) -> tuple[int, ...]:
    """Major and minor version of an interpreter, or nothing if it does not run."""
    command = [python, "-c", "import sys, venv; print(*sys.version_info[:2])"]
    try:
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ()
    return tuple(int(part) for part in told.split())


class Environment:
    """The virtual environment of one checkout, and the note of what was installed into it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / ".venv"
        self.python = self.folder / "bin" / "python"
        self.stamp = self.folder / "raydio-stamp.json"
        self.log = self.folder / "install.log"

    def update(self, extras: set[str], wanted_python: str) -> None:
        """Create, install or leave alone, whichever is due."""
        stamp = self._read_stamp()
        usable = version_of(str(self.python)) in SUITABLE and stamp.get("folder") == str(self.folder)
        wanted = {"folder": str(self.folder), "inputs": self._inputs(), "extras": sorted(extras)}
        if usable:
            wanted["extras"] = sorted(extras | set(stamp.get("extras", ())))
            if stamp == wanted:
                return
        else:
            self._create(choose_python(wanted_python))
        self._install(wanted["extras"])
        self.stamp.write_text(json.dumps(wanted))

    def _read_stamp(self) -> dict[str, object]:
        try:
            return json.loads(self.stamp.read_text())
        except (OSError, ValueError):
            return {}

    def _inputs(self) -> str:
        files = (self.root / name for name in ("pyproject.toml", "constraints.txt"))
        return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()

    def _create(self, python: str) -> None:
        free_bytes = shutil.disk_usage(self.root).free
        if free_bytes < NEEDED_BYTES:
            raise BootstrapError(
                f"{NEEDED_BYTES >> 20} MiB are needed under {self.root}, and {free_bytes >> 20} MiB are free."
            )
        shown = ".".join(str(part) for part in version_of(python))
        print(f"Making {self.folder} with Python {shown} ({shutil.which(python) or python})", flush=True)
        subprocess.run([python, "-m", "venv", "--clear", "--without-pip", str(self.folder)], check=True)
        ensured = subprocess.run(
            [str(self.python), "-m", "ensurepip", "--default-pip"], check=False, capture_output=True
        )
        if ensured.returncode:
            self._fetch_pip()
        else:
            self._pip(None, "install", f"pip=={PIP_VERSION}")

    def _fetch_pip(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            wheel = fetch_pip_wheel(Path(scratch))
            command = [
                str(self.python),
                f"{wheel}/pip",
                "install",
                "--no-index",
                "--no-deps",
                "--quiet",
                str(wheel),
            ]
            subprocess.run(command, check=True)

    def _install(self, extras: list[str]) -> None:
        target = f"{self.root}[{','.join(extras)}]" if extras else str(self.root)
        constraints = str(self.root / "constraints.txt")
        limits = ["--constraint", constraints, "--build-constraint", constraints]
        self._pip(InstallLine(), "install", *limits, "--editable", target)

    def _pip(self, line: InstallLine | None, *arguments: str) -> None:
        command = [str(self.python), "-m", "pip", "--disable-pip-version-check", *arguments]
        pip = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        with pip, self.log.open("w") as log:
            for told in pip.stdout:
                log.write(told)
                if line:
                    line.follow(told)
        if line:
            line.end()
        if pip.returncode:
            last = "".join(f"  {told}\n" for told in self.log.read_text().splitlines()[-8:])
            raise BootstrapError(
                f"pip could not install Raydio's dependencies:\n{last}"
                f"Check the network and `pip config list`; the whole log is {self.log}."
            )


class InstallLine:
    """One line on the terminal that says how far pip is; without a terminal, a line per phase."""

    def __init__(self) -> None:
        self.n_packages = 0
        self.shown = ""
        self.live = sys.stdout.isatty()

    def follow(self, told: str) -> None:
        """Take one line of pip's output."""
        if told.startswith("Collecting "):
            self.n_packages += 1
            name = re.split(r"[^\w.-]", told.split()[1])[0]
            self._show(f"Fetching packages: {self.n_packages}", name)
        elif told.startswith("Installing collected packages"):
            self._show(f"Unpacking {self.n_packages} packages (the longest part)")

    def _show(self, phase: str, detail: str = "") -> None:
        if self.live:
            print(f"\r\x1b[2K{phase} {detail}"[:100], end="", flush=True)
        elif phase.partition(":")[0] != self.shown.partition(":")[0]:
            print(phase.partition(":")[0], flush=True)
        self.shown = phase

    def end(self) -> None:
        """Leave the line on the terminal."""
        if self.live and self.shown:
            print()


def fetch_pip_wheel(into: Path, sha256: str = PIP_SHA256) -> Path:
    """Download pip's pinned wheel from the configured index, without pip."""
    name = f"pip-{PIP_VERSION}-py3-none-any.whl"
    index = pip_setting("index-url") or "https://pypi.org/simple"
    page_url = f"{index.rstrip('/')}/pip/"
    try:
        link = re.search(rf'href="([^"]*{re.escape(name)}[^"]*)"', read_url(page_url).decode())
        if not link:
            raise BootstrapError(f"The package index {index} has no {name}.")
        wheel = read_url(urllib.parse.urljoin(page_url, html.unescape(link[1])))
    except OSError as error:  # URLError, HTTPError and TLS errors are all of this kind
        raise BootstrapError(
            f"The package index {index} did not answer ({error}).\n"
            "Check the network, or set PIP_INDEX_URL; or install the system's package python3-venv."
        ) from error
    if hashlib.sha256(wheel).hexdigest() != sha256:
        raise BootstrapError(
            f"{name} from {index} is not the pip that this script trusts; nothing was installed."
        )
    path = into / name
    path.write_bytes(wheel)
    return path


def read_url(url: str) -> bytes:
    """The body at a URL that the user's own pip configuration leads to, trusting pip's certificates too."""
    trust = ssl.create_default_context()
    if pip_setting("cert"):
        trust.load_verify_locations(pip_setting("cert"))
    with urllib.request.urlopen(url, timeout=60, context=trust) as answer:  # noqa: S310
        return answer.read()


def pip_setting(name: str) -> str:
    """A setting from pip's environment variables or configuration files, or nothing."""
    variable = f"PIP_{name.upper().replace('-', '_')}"
    if os.environ.get(variable):
        return os.environ[variable]
    home = Path.home()
    files = [Path("/etc/pip.conf"), home / ".pip/pip.conf", home / ".config/pip/pip.conf"]
    config = configparser.RawConfigParser()
    config.read([*files, os.environ.get("PIP_CONFIG_FILE", os.devnull)], encoding="utf-8")
    return config.get("global", name, fallback="")


if __name__ == "__main__":
    raise SystemExit(main())
