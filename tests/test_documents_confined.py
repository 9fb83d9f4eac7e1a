"""The process that reads: what it may not do or know; and pictures, which mark the right words."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from serve_apps.args import IngestArgs
from serve_apps.documents.page_picture import picture
from serve_apps.documents.reading import read
from tests.hostile import WORDS, drawn
from tests.pdf_files import made_pdf
from tests.reader_processes import readers

ROOT = Path(__file__).resolve().parent.parent
TRIES = {
    "connecting": "import socket; socket.socket()",
    "a process": "import subprocess; subprocess.run(['true'])",
    "a fork": "import os; os.fork()",
    "a program": "import os; os.execv('/bin/true', ['true'])",
    "writing": "import sys; open(sys.argv[1], 'wb')",
    "appending": "import sys; open(sys.argv[2], 'ab')",
    "removing": "import os, sys; os.unlink(sys.argv[2])",
    "reading": "import sys; open(sys.argv[2])",
    "looking around": "import os; os.listdir(os.path.expanduser('~'))",
    "killing": "import os; os.kill(os.getppid(), 0)",
    "renaming": "import os, sys; os.rename(sys.argv[2], sys.argv[1])",
    "a folder": "import os, sys; os.mkdir(sys.argv[1])",
    "memory": "bytes(600_000_000)",
}


def confined(code: str, *arguments: str) -> int:
    """The exit code of a program that is confined first."""
    code = f"from serve_apps.documents.confinement import confine\nconfine(2**29, 10)\n{code}"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode


def has_landlock() -> bool:
    code = (
        "from serve_apps.documents.landlock import read_only_below as only; raise SystemExit(only(['/usr']))"
    )
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's filters are Linux's")
@pytest.mark.parametrize("what", TRIES)
def test_a_reader_may_not(tmp_path: Path, what: str) -> None:
    if what in ("reading", "looking around") and not has_landlock():
        pytest.skip("this kernel has no Landlock")
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    assert confined(TRIES[what], str(tmp_path / "made"), str(precious)) != 0
    assert precious.read_bytes() == b"precious"
    assert not (tmp_path / "made").exists()


async def test_a_reader_does_not_know_our_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYDIO_TOKEN", "secret")
    (tmp_path / "file").write_bytes(b"word " * 2_000_000)
    reading = asyncio.create_task(read(tmp_path / "file", "a.txt", IngestArgs()))
    while not (children := readers()):  # noqa: ASYNC110  # processes tell nobody
        await asyncio.sleep(0)
    assert "secret" not in "".join(children[0].environ().values())
    assert "secret" not in "".join(children[0].cmdline())
    assert (await reading).n_duplicates


def test_a_reader_may_import_and_work() -> None:
    assert confined("import encodings.cp1252, json, lxml.html, pypdfium2; bytes(100_000_000)") == 0


def test_the_parents_side_imports_no_parser() -> None:
    code = "import sys, serve_apps.documents.reading, serve_apps.documents.page_picture; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    parsers = {"pypdfium2", "docx", "pptx", "openpyxl", "lxml", "bs4", "PIL", "charset_normalizer"}
    assert not parsers & set(done.stdout.split())


async def test_marks_are_where_the_words_are(tmp_path: Path) -> None:
    pdf = made_pdf(["# The dome\n\nThe yellow 𝒳 lever 👍 closes it.\n\nAnother paragraph stands below it."])  # noqa: RUF001
    (tmp_path / "file").write_bytes(pdf)
    text = (await read(tmp_path / "file", "a.pdf", IngestArgs())).pages[0].text
    start = text.index("lever")
    drawing = await picture(pdf, 1, start, start + len("lever"), 600)
    (mark,) = drawing.marks
    image = Image.open(io.BytesIO(drawing.png)).convert("L")
    assert image.size == (drawing.width_px, drawing.height_px)
    assert drawing.width_px == 600
    box = (
        mark.left * 600,
        mark.top * drawing.height_px,
        (mark.left + mark.width) * 600,
        (mark.top + mark.height) * drawing.height_px,
    )
    assert image.crop([round(side) for side in box]).getextrema()[0] < 100, "there is no ink in the mark"
    whole = (await picture(pdf, 1, 0, len(text), 600)).marks
    assert len(whole) == 3
    assert not (await picture(pdf, 1, 5, 5, 600)).marks


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
async def test_marks_turn_with_the_page(rotation: int) -> None:
    pdf = drawn(WORDS, b"0 0 400 200]/Rotate %d/CropBox[10 10 390 190" % rotation)
    drawing = await picture(pdf, 1, 0, 99, 500)
    (mark,) = drawing.marks
    image = Image.open(io.BytesIO(drawing.png)).convert("L").point(lambda shade: 255 * (shade < 128))
    left, top, right, bottom = image.getbbox()
    width, height = image.size
    for edge, ink in (
        (mark.left, left / width),
        (mark.top, top / height),
        (mark.left + mark.width, right / width),
        (mark.top + mark.height, bottom / height),
    ):
        assert edge == pytest.approx(ink, abs=0.02)


async def test_a_span_over_the_end_marks_what_is_there() -> None:
    pdf = made_pdf(["Some words."])
    assert len((await picture(pdf, 1, -5, 10**9, 300)).marks) == 1
    assert not (await picture(pdf, 1, 10**8, 10**9, 300)).marks
