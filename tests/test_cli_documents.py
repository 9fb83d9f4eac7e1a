"""`raydio ingest`, `reindex`, `documents`, `forget` against a served door with its token, over real HTTP."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from click.testing import Result
from typer.testing import CliRunner

from serve_apps import documents_client, run_state
from serve_apps.cli import app
from serve_apps.documents_client import GROUP_BYTES, GROUP_FILES, LocalFile, files_in, grouped
from serve_apps.run_state import RunState
from serve_apps.wire import Vectors
from tests.documents_server import documents_served
from tests.fake_clients import FakeEmbeddings


def raydio(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


@contextmanager
def served(folder: Path, embeddings: FakeEmbeddings) -> Iterator[None]:
    """A door with its token, and a run file that leads to it."""
    with documents_served(folder, embeddings) as address:
        me = psutil.Process()
        run_state.write(RunState(phase="ready", url=f"{address}/", pid=me.pid, created=me.create_time()))
        yield


@pytest.fixture
def running(tmp_path: Path) -> Iterator[None]:
    with served(tmp_path, FakeEmbeddings()):
        yield


class Stuck(FakeEmbeddings):
    """Never gives the vectors of a document; says when it was asked, and when nobody waits any more."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()
        self.left = threading.Event()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        if "dimensions" in texts[0]:
            return await super().embed(texts)
        self.asked.set()
        try:
            return await asyncio.get_running_loop().create_future()
        finally:
            self.left.set()


def test_ctrl_c_cancels_on_the_server_too(tmp_path: Path, folder: Path) -> None:
    stuck = Stuck()
    with served(tmp_path, stuck):
        command = [sys.executable, "-m", "serve_apps.cli", "ingest", str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert stuck.asked.wait(30)
            process.send_signal(signal.SIGINT)
            told, _ = process.communicate(timeout=30)
        assert (process.returncode, "Cancelled" in told) == (130, True)
        assert stuck.left.wait(30)
        assert "There are no documents" in raydio("documents").stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Documents as people keep them: folders, hidden files, a link, an archive."""
    notes = tmp_path / "notes"
    (notes / "animals").mkdir(parents=True)
    (notes / ".git").mkdir()
    (notes / ".git/config").write_text("hidden")
    (notes / "animals/fox.md").write_text("# Foxes\n\nThe quick brown fox jumps over the lazy dog.\n")
    (notes / "owl.txt").write_text("Owls hunt by night.")
    (notes / ".hidden.txt").write_text("hidden")
    (notes / "link.txt").symlink_to(notes / "owl.txt")
    with zipfile.ZipFile(notes / "more.zip", "w") as archive:
        archive.writestr("badger.txt", "Badgers dig.")
    return notes


@pytest.mark.usefixtures("running")
def test_a_folder_is_added_once_listed_and_forgotten(folder: Path) -> None:
    first = raydio("ingest", str(folder), "--tag", "animals", "--collection", "Zoo")
    assert (first.exit_code, "3 added (3 passages), 0 unchanged, 0 failed" in first.stdout) == (0, True)
    again = raydio("ingest", str(folder), "--collection", "Zoo")
    assert "0 added (0 passages), 3 unchanged" in again.stdout
    listed = raydio("documents", "--collection", "Zoo").stdout
    for name in ("notes/animals/fox.md", "notes/owl.txt", "notes/more.zip/badger.txt", "animals"):
        assert name in listed
    assert "hidden" not in listed
    forgotten = raydio("forget", "notes/owl.txt", "--collection", "Zoo")
    assert "1 passages; 0 of its vectors are left" in forgotten.stdout
    assert "notes/owl.txt" not in raydio("documents").stdout
    assert "2 passages" in raydio("reindex", "Zoo").stdout


@pytest.mark.usefixtures("running")
def test_what_failed_is_told_and_is_the_exit_status(tmp_path: Path) -> None:
    bad, good = tmp_path / "program.exe", tmp_path / "good.txt"
    bad.write_bytes(b"MZ\x90\x00\x03\x00\x00\x00" * 10)
    good.write_text("Owls hunt by night.")
    done = raydio("ingest", str(bad), str(good), "--url", "http://127.0.0.1/")
    assert done.exit_code == 1
    assert "1 added (1 passages), 0 unchanged, 2 failed" in done.stdout
    assert "program.exe" in done.stdout
    assert "not on the public internet" in done.stdout


@pytest.mark.usefixtures("running")
def test_a_file_over_the_limit_is_not_even_sent(tmp_path: Path) -> None:
    huge = tmp_path / "huge.txt"
    os.truncate(os.open(huge, os.O_CREAT | os.O_WRONLY), 2**30)
    done = raydio("ingest", str(huge))
    assert (done.exit_code, "larger than 200 MiB" in done.stdout) == (1, True)


@pytest.mark.usefixtures("running")
def test_more_files_than_one_request_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents_client, "GROUP_FILES", 4)
    many = tmp_path / "many"
    many.mkdir()
    for n in range(10):
        (many / f"{n}.txt").write_text(f"Animal number {n} is not like the others.")
    assert "10 added (10 passages)" in raydio("ingest", str(many)).stdout


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["ingest"], "no files to add"),
        (["ingest", "/nonexistent"], "no file or folder"),
        (["reindex", "Nothing"], "no collection 'Nothing'"),
        (["forget", "nothing.txt"], "no document 'nothing.txt'"),
        (["documents", "--collection", "Nothing"], "no collection 'Nothing'"),
    ],
)
def test_what_is_not_there_is_told(arguments: list[str], told: str) -> None:
    done = raydio(*arguments)
    assert (done.exit_code, told in done.stderr) == (1, True)


@pytest.mark.usefixtures("running")
def test_nothing_to_list() -> None:
    assert "There are no documents" in raydio("documents").stdout


def test_without_a_raydio(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("x")
    for arguments in (["ingest", str(file)], ["documents"], ["reindex"], ["forget", "a.txt"]):
        done = raydio(*arguments)
        assert (done.exit_code, "not running" in done.stderr) == (1, True)


def test_groups_are_bounded_and_a_large_file_goes_alone() -> None:
    small = [LocalFile(f"{n}", Path("x"), 10) for n in range(GROUP_FILES + 1)]
    large = [LocalFile("large", Path("x"), GROUP_BYTES + 1), LocalFile("after", Path("x"), 1)]
    assert [len(group) for group in grouped([*small, *large])] == [GROUP_FILES, 1, 1, 1]


def test_a_folder_gives_its_name_to_what_is_in_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert [file.name for file in files_in([Path()])] == [
        "notes/more.zip",
        "notes/owl.txt",
        "notes/animals/fox.md",
    ]
    assert [file.name for file in files_in([Path("owl.txt")])] == ["owl.txt"]
