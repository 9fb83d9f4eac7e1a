"""Readers are forks of one template, which may die at any time."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import psutil
import pytest

from serve_apps.args import IngestArgs
from serve_apps.documents import forks
from serve_apps.documents.reading import read
from serve_apps.documents.template import NICENESS
from serve_apps.errors import DocumentTooLarge
from tests.reader_processes import readers, templates


async def passages(folder: Path, text: str = "A fox jumps.") -> int:
    path = folder / "file"
    path.write_text(text)
    return len((await read(path, "a.txt", IngestArgs())).passages)


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs; a dead one may wait for whoever takes care of orphans here."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_one_template_serves_many_files_at_once(tmp_path: Path) -> None:
    await passages(tmp_path)
    (template,) = templates()
    folders = [tmp_path / str(n) for n in range(8)]
    for folder in folders:
        folder.mkdir()
    assert await asyncio.gather(*[passages(folder) for folder in folders]) == [1] * 8
    assert templates() == [template]
    assert readers() == []


async def test_a_template_that_was_killed_is_replaced(tmp_path: Path) -> None:
    await passages(tmp_path)
    (template,) = templates()
    template.kill()
    assert await passages(tmp_path) == 1
    assert templates() != [template]


async def test_a_reader_dies_with_its_template(tmp_path: Path) -> None:
    reading = asyncio.create_task(passages(tmp_path, "word " * 3_000_000))
    while not (begun := readers()):  # noqa: ASYNC110  # processes tell nobody that they began
        await asyncio.sleep(0)
    for template in templates():
        template.kill()
    with pytest.raises(DocumentTooLarge):
        await reading
    while any(is_alive(process) for process in begun):  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert await passages(tmp_path) == 1


async def test_readers_know_no_other_files(tmp_path: Path) -> None:
    with (tmp_path / "other").open("wb"):
        reading = asyncio.create_task(passages(tmp_path, "word " * 3_000_000))
        while not (begun := readers()):  # noqa: ASYNC110
            await asyncio.sleep(0)
        paths = {Path(file.path).name for process in begun for file in process.open_files()}
        await reading
    assert "other" not in paths


async def test_reading_waits_for_whoever_speaks_with_a_model() -> None:
    fork = await forks.start(None)
    try:
        ours = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, fork.pid) == min(19, ours + NICENESS)
    finally:
        await fork.end()
