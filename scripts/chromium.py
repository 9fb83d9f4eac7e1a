"""Find the Chromium that the browser tests drive, installing it where this user can; print its path.

Looks at RAYDIO_CHROMIUM, the PATH and Playwright's own folder; then tries apt-get (as root, or with a
sudo that asks nothing) and `playwright install`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NOT_FOUND = """The browser tests need Chromium, and none was found or could be installed.
Install it (Debian: sudo apt-get install chromium; elsewhere: Google Chrome),
or set RAYDIO_CHROMIUM to its path."""


def main() -> int:
    """Print the path, or say what to install."""
    for look in (configured, on_path, from_playwright, from_apt, by_playwright):
        found = look()
        if found and runs(found):
            print(found)
            return 0
    print(NOT_FOUND, file=sys.stderr)
    return 1


def configured() -> str | None:
    """What RAYDIO_CHROMIUM names."""
    return os.environ.get("RAYDIO_CHROMIUM")


def on_path() -> str | None:
    """The first usual name on the PATH."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def from_playwright() -> str | None:
    """The build that `playwright install` put into its own folder."""
    program = (
        "from playwright.sync_api import sync_playwright\n"
        "with sync_playwright() as browsers: print(browsers.chromium.executable_path)"
    )
    told = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    return told.stdout.strip() or None


def from_apt() -> str | None:
    """Debian's package, when it can be installed without asking anybody."""
    if not shutil.which("apt-get"):
        return None
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if sudo and not (shutil.which("sudo") and quietly(["sudo", "-n", "true"])):
        return None
    print("Installing Chromium with apt-get", file=sys.stderr)
    quietly([*sudo, "apt-get", "update"])
    quietly([*sudo, "apt-get", "install", "-y", "--no-install-recommends", "chromium"])
    return on_path()


def by_playwright() -> str | None:
    """Playwright's own build, which needs no root but the system's graphics libraries."""
    print("Installing Chromium with playwright", file=sys.stderr)
    quietly([sys.executable, "-m", "playwright", "install", "chromium"])
    return from_playwright()


def runs(path: str) -> bool:
    """Whether the program starts: a library may be missing, or a snap's stub may stand in for it."""
    return quietly([path, "--version"])


def quietly(command: list[str]) -> bool:
    """Run a command for its exit status."""
    try:
        return subprocess.run(command, check=False, capture_output=True, timeout=600).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


if __name__ == "__main__":
    raise SystemExit(main())
