"""Files made to do harm: refused in time, within limits, and without the reader's parent noticing."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest

from serve_apps.args import IngestArgs
from serve_apps.documents.page_picture import picture
from serve_apps.documents.reading import ReadDocument, read
from serve_apps.errors import DocumentTooLarge, DocumentUnreadable, NotFound
from tests import hostile
from tests.pdf_files import made_pdf
from tests.reader_processes import readers

ARGS = IngestArgs(parse_timeout_s=10.0, parse_memory_mb=1024)
MOST_GROWTH_BYTES = 64 * 2**20
MOST_S = 15.0


async def read_bytes(folder: Path, name: str, data: bytes) -> ReadDocument:
    path = folder / "file"
    path.write_bytes(data)
    del data
    before, start = psutil.Process().memory_info().rss, time.monotonic()
    try:
        return await read(path, name, ARGS)
    finally:
        assert psutil.Process().memory_info().rss - before < MOST_GROWTH_BYTES
        assert time.monotonic() - start < MOST_S
        assert not readers(), "a reader is left behind"


@pytest.mark.parametrize("what", hostile.REFUSED)
async def test_hostile_files_are_refused(tmp_path: Path, what: str) -> None:
    make, name, why = hostile.REFUSED[what]
    with pytest.raises((DocumentUnreadable, DocumentTooLarge), match=why or None) as refused:
        await read_bytes(tmp_path, name, make())
    assert refused.value.message.endswith(".")


@pytest.mark.parametrize("what", hostile.READ)
async def test_odd_files_are_read_or_refused_in_time(tmp_path: Path, what: str) -> None:
    make, name, words = hostile.READ[what]
    try:
        document = await read_bytes(tmp_path, name, make())
    except (DocumentUnreadable, DocumentTooLarge):
        assert not words
        return
    text = "\n".join(page.text for page in document.pages)
    assert words in text
    assert "root:" not in text
    assert text.count("lol") < 1000


async def test_a_sparse_gigabyte_is_refused_unread(tmp_path: Path) -> None:
    with pytest.raises(DocumentTooLarge, match="1024 MB; the limit is 200 MB"):
        await read(hostile.sparse(tmp_path / "a.pdf"), "a.pdf", ARGS)
    with pytest.raises(DocumentUnreadable, match="not text"):
        await read(hostile.sparse(tmp_path / "a.txt", 150 * 2**20), "a.txt", ARGS)


async def test_links_folders_and_pipes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("secret words")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    for name in ("link.txt", "pipe.txt", ".", "missing.txt"):
        with pytest.raises(DocumentUnreadable):
            await read(tmp_path / name, "a.txt", ARGS)


async def test_a_slow_file_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"word " * 3_000_000)
    with pytest.raises(DocumentTooLarge, match=r"longer than 0\.2 s"):
        await read(tmp_path / "file", "a.txt", IngestArgs(parse_timeout_s=0.2))


async def test_memory_is_limited(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"<p>a</p>" * 2_000_000)
    with pytest.raises(DocumentTooLarge, match="more than 256 MB of memory"):
        await read(tmp_path / "file", "a.html", IngestArgs(parse_memory_mb=256))


async def test_pictures_of_hostile_pages() -> None:
    huge = await picture(hostile.drawn(hostile.WORDS, hostile.HUGE_PAGE), 1, 0, 5, 800)
    assert huge.width_px * huge.height_px <= 12_100_000
    strip = await picture(hostile.drawn(hostile.WORDS, b"0 0 1 100000"), 1, 0, 5, 3000)
    assert strip.width_px * strip.height_px <= 12_100_000
    with pytest.raises(NotFound, match="no page 2"):
        await picture(made_pdf(["one"]), 2, 0, 0, 800)
    for data in (b"", b"MZ", hostile.locked_pdf(), made_pdf(["one"])[:500]):
        with pytest.raises(DocumentUnreadable):
            await picture(data, 1, 0, 0, 800)


async def test_a_picture_of_endless_drawing_is_stopped() -> None:
    with pytest.raises((DocumentTooLarge, DocumentUnreadable)):
        await picture(hostile.content_bomb(), 1, 0, 0, 800)
