"""`python -m benchmarks`: run the rows; `python -m benchmarks table`: the Markdown table of the last run."""

from __future__ import annotations

import argparse
import signal
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from benchmarks import machine, plot, table
from benchmarks.bench import Bench
from benchmarks.result import RESULTS, RowResult, from_json, to_json
from benchmarks.rules import MIN_ROUNDS, too_loaded
from benchmarks.systems import CannotRun

ROWS = {
    1: "benchmarks.rows.row01_api_ttft",
    2: "benchmarks.rows.row02_stream_rate",
    4: "benchmarks.rows.row04_ui_ttft",
    5: "benchmarks.rows.row05_first_page",
    6: "benchmarks.rows.row06_embedding",
    7: "benchmarks.rows.row07_documents",
    8: "benchmarks.rows.row08_voice",
    10: "benchmarks.rows.row10_start",
    11: "benchmarks.rows.row11_tabs",
}
LATEST = RESULTS / "latest.json"
ENGINES = ("mock", "real")


def main() -> int:
    """The exit status: 0 when every gate held, 1 when one did not, 2 when nothing was measured."""
    options = _options()
    if options.command == "table":
        rows, about = from_json(options.file.read_text())
        sys.stdout.write(table.markdown(rows, about))
        return 0
    reason = too_loaded()
    if reason and not options.force:
        sys.stderr.write(f"{reason}\n")
        return 2
    about = machine.describe() | {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python -m benchmarks", *sys.argv[1:]]),
        "quick": options.quick,
        "engines": [options.engine] if options.engine else list(ENGINES),
    }
    rows = _run(options)
    _write(rows, about)
    gates = [gate for row in rows for measure in row.measures for gate in measure.gates]
    return 0 if all(gate.passed for gate in gates) and not any(row.error for row in rows) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("command", nargs="?", choices=["run", "table"], default="run")
    parser.add_argument("file", nargs="?", type=Path, default=LATEST, help="results to print as a table")
    parser.add_argument("--rows", default=",".join(map(str, ROWS)), help="which rows, separated by commas")
    parser.add_argument("--rounds", type=int, default=MIN_ROUNDS, help="valid rounds for each measure")
    parser.add_argument("--engine", choices=ENGINES, help="only the measures on this engine")
    parser.add_argument("--quick", action="store_true", help="one round and few samples: does it run at all?")
    parser.add_argument("--force", action="store_true", help="measure although the machine is busy")
    return parser.parse_args()


def _run(options: argparse.Namespace) -> list[RowResult]:
    n_rounds = 1 if options.quick else options.rounds
    engines = (options.engine,) if options.engine else ENGINES
    rows: list[RowResult] = []
    with Bench(n_rounds=n_rounds, quick=options.quick, engines=engines) as bench:
        for number in map(int, options.rows.split(",")):
            rows.append(_row(import_module(ROWS[number]), bench))
            sys.stdout.write(table.lines(rows[-1]))
            sys.stdout.flush()
    return rows


def _row(module: ModuleType, bench: Bench) -> RowResult:
    try:
        result: RowResult = module.run(bench)
    except (CannotRun, OSError, TimeoutError) as error:
        return RowResult(row=module.ROW, title=module.TITLE, error=f"{type(error).__name__}: {error}")
    return result


def _write(rows: list[RowResult], about: dict[str, Any]) -> None:
    """Write JSON and picture: as the latest when the run was whole, else only under its time."""
    folder = RESULTS / "tmp" if about["quick"] else RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    whole = (
        not about["quick"] and [row.row for row in rows] == list(ROWS) and about["engines"] == list(ENGINES)
    )
    for name in (f"{datetime.now(UTC):%Y%m%dT%H%M%S}", *(["latest"] if whole else [])):
        (folder / f"{name}.json").write_text(to_json(rows, about))
        (folder / f"{name}.svg").write_text(plot.svg(rows, about))
        sys.stdout.write(f"wrote {folder / name}.json and .svg\n")


def _stopped(*_: object) -> NoReturn:
    """Like Ctrl-C: what was started is stopped on the way out."""
    raise SystemExit(128 + signal.SIGTERM)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stopped)
    raise SystemExit(main())
