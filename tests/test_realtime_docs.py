"""What docs/realtime.md promises is there: every event, its test, times and limits; and the example runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve_apps.args import RealtimeArgs
from serve_apps.realtime.config import BargeIn, Knowledge, Raydio, SemanticVad
from serve_apps.realtime.endpointing import patience_s
from serve_apps.realtime.shapes import EVENTS
from tests.live_door import TOKEN, guarded_door

ROOT = Path(__file__).resolve().parent.parent
DOCS = (ROOT / "docs/realtime.md").read_text()
CODE = "\n".join(path.read_text() for path in (ROOT / "serve_apps/realtime").glob("*.py"))


def section(title: str) -> str:
    """From a heading to the next of its rank, or above."""
    rank = title.count("#")
    return re.split(rf"\n#{{1,{rank}}} ", DOCS.split(f"\n{title}\n")[1])[0]


def rows(title: str) -> list[list[str]]:
    """The cells of a section's tables, without their heads."""
    lines = [line for line in section(title).splitlines() if line.startswith("| ")]
    return [
        [cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines if "| test |" not in line
    ]


def names(title: str) -> list[str]:
    return [row[0].strip("`") for row in rows(title)]


SENT, TOLD = rows("## What a client may send"), rows("## What the server tells")


def test_the_tables_are_found() -> None:
    assert (len(SENT), len(TOLD)) == (12, 37)


def test_every_event_that_is_read_is_documented() -> None:
    assert set(names("## What a client may send")) == set(EVENTS)


@pytest.mark.parametrize("event", names("## What the server tells"))
def test_every_event_that_is_documented_is_told(event: str) -> None:
    family, _, last = event.rpartition(".")
    assert f'"{event}"' in CODE or (f'"{family}"' in CODE and f'"{{name}}.{last}"' in CODE)


def test_every_event_that_is_told_is_documented() -> None:
    told = set(re.findall(r'"type": "([a-z_]+(?:\.[a-z_]+)+)"', CODE)) - set(EVENTS)
    assert len(told) > 20
    assert told <= set(names("## What the server tells"))


@pytest.mark.parametrize("row", SENT + TOLD, ids=lambda row: row[0].strip("`"))
def test_every_event_has_its_test(row: list[str]) -> None:
    file, _, name = row[-1].strip("`").partition("::")
    assert re.search(rf"def {name}\(", (ROOT / "tests" / file).read_text())


def test_the_times_of_the_eagernesses() -> None:
    said = ("What time is it?", "the blue one", "Tell me about")
    table = [row for row in rows("### When a turn ends") if row[0] != "eagerness"]
    assert len(table) == 3
    for cells in table:
        for eagerness in cells[0].replace("`", "").split(", "):
            times_s = [patience_s(SemanticVad(eagerness=eagerness), text) for text in said]  # type: ignore[arg-type]
            assert times_s == [float(cell) for cell in cells[1:]]


def test_limits_and_settings_are_all_there() -> None:
    limits = set(names("## Limits")) | {"audio_burst_s"}
    assert limits - {"field"} == set(RealtimeArgs.model_fields)
    parts = {"barge_in": BargeIn, "knowledge": Knowledge}
    ours = {f"{part}.{name}" for part, settings in parts.items() for name in settings.model_fields}
    ours |= set(Raydio.model_fields) - set(parts)
    assert {name for name in names("## Settings") if name in ours} == ours


@pytest.fixture
def address() -> Iterator[str]:
    with guarded_door() as address:
        yield address


def test_the_example_runs(address: str, tmp_path: Path) -> None:
    code = section("## Connect").split("```python\n")[1].split("```")[0]
    code = code.replace("http://127.0.0.1:8000", address).replace("…", TOKEN)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    with wave.open(str(tmp_path / "answer.wav")) as file:
        assert file.getnframes() > 2400
