from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import bootstrap  # noqa: E402

REQUIREMENT = re.compile(r"[\w.-]+")
WHEEL = "pip-26.3-py3-none-any.whl"


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line.partition(";")[0].split("==") for line in lines if not line.startswith("#")]
    return {normal(name): version.strip() for name, version in pins}


def declared() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["test"]]


@pytest.mark.parametrize("requirement", declared())
def test_every_dependency_is_pinned(requirement: str) -> None:
    assert normal(REQUIREMENT.match(requirement)[0]) in pinned()


def test_constraints_stay_small_and_portable() -> None:
    for name, version in pinned().items():
        assert not name.startswith(("torch", "nvidia", "cuda", "triton", "raydio"))
        assert re.fullmatch(r"[\w.]+", version), f"{name} {version}: a local version exists on one index only"


def test_choose_python_takes_one_that_runs() -> None:
    assert bootstrap.version_of(bootstrap.choose_python()) in bootstrap.SUITABLE


def test_choose_python_refuses_what_does_not_run() -> None:
    with pytest.raises(bootstrap.BootstrapError, match="does not run"):
        bootstrap.choose_python("/nowhere/python3.12")


def test_no_suitable_python_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\necho 3 9\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(bootstrap.BootstrapError, match=r"needs Python 3.11.*\n.*apt-get install"):
        bootstrap.choose_python()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A package without dependencies, in the shape that bootstrap installs."""
    (tmp_path / "constraints.txt").write_text("")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "tiny"\nversion = "1"\n')
    return tmp_path


def stamped(checkout: Path, *extras: str) -> bootstrap.Environment:
    environment = bootstrap.Environment(checkout)
    environment.python.parent.mkdir(parents=True)
    environment.python.symlink_to(sys.executable)
    wanted = {"folder": str(environment.folder), "inputs": environment._inputs(), "extras": sorted(extras)}
    environment.stamp.write_text(bootstrap.json.dumps(wanted))
    return environment


def test_nothing_is_done_when_nothing_changed(checkout: Path) -> None:
    environment = stamped(checkout, "test")
    before = environment.stamp.stat().st_mtime_ns
    environment.update(set(), "")
    environment.update({"test"}, "")
    assert environment.stamp.stat().st_mtime_ns == before
    assert not environment.log.exists()


def test_a_failed_installation_is_told_and_tried_again(checkout: Path) -> None:
    environment = stamped(checkout)
    (checkout / "constraints.txt").write_text("this is no requirement\n")
    for _ in range(2):
        with pytest.raises(bootstrap.BootstrapError, match=r"could not install(.|\n)*install.log"):
            environment.update(set(), "")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package index on loopback with a page for pip, whose content the test decides."""
    folder = tmp_path / "index"
    (folder / "simple" / "pip").mkdir(parents=True)
    handler = partial(SilentHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
        yield folder
        server.shutdown()


class SilentHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Requests are the test's business."""


def offer(index: Path, content: bytes) -> None:
    (index / WHEEL).write_bytes(content)
    (index / "simple/pip/index.html").write_text(f'<a href="../../{WHEEL}#sha256=0">{WHEEL}</a>')


def test_pip_comes_from_the_configured_index(index: Path, tmp_path: Path) -> None:
    offer(index, b"a wheel")
    wheel = bootstrap.fetch_pip_wheel(tmp_path, hashlib.sha256(b"a wheel").hexdigest())
    assert wheel.read_bytes() == b"a wheel"


def test_a_pip_that_is_not_the_pinned_one_is_refused(index: Path, tmp_path: Path) -> None:
    offer(index, b"something else")
    with pytest.raises(bootstrap.BootstrapError, match="not the pip that this script trusts"):
        bootstrap.fetch_pip_wheel(tmp_path)
    assert not (tmp_path / WHEEL).exists()


def test_an_index_without_that_pip(index: Path, tmp_path: Path) -> None:
    (index / "simple/pip/index.html").write_text("nothing")
    with pytest.raises(bootstrap.BootstrapError, match=f"has no {WHEEL}"):
        bootstrap.fetch_pip_wheel(tmp_path)


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(bootstrap.BootstrapError, match="did not answer"):
        bootstrap.fetch_pip_wheel(tmp_path)


def test_make_help_lists_what_people_use() -> None:
    told = subprocess.run(["make", "help"], check=True, capture_output=True, text=True, cwd=ROOT).stdout
    assert {"up", "test", "bench", "lint", "types", "format"} <= {
        line.split()[1] for line in told.splitlines() if line.startswith("  make ")
    }


def test_make_says_what_to_install_without_python(tmp_path: Path) -> None:
    missing = str(tmp_path / "python3")
    made = subprocess.run(
        ["make", "up", f"PYTHON={missing}"],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ,
    )
    assert made.returncode
    assert "Raydio needs Python 3.11 or later" in made.stdout
