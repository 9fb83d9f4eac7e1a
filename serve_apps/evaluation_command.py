"""What `raydio eval retrieval` does: ask, judge, tell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from serve_apps import access, evaluation_report, run_state
from serve_apps.errors import NotRunning
from serve_apps.evaluation_data import Dataset, read_dataset, read_questions
from serve_apps.evaluation_report import Line, Sweep
from serve_apps.evaluation_run import TIMEOUT_S, Door, Found, Way, ask_all, file_name

EXIT_INTERRUPTED = 130

out, err = Console(), Console(stderr=True)


def retrieval(
    dataset: Path,
    collection: str,
    *,
    k: int,
    json_file: Path | None,
    threshold_sweep: bool,
    client: httpx.Client | None = None,
) -> None:
    """See `serve_apps.cli_eval.retrieval`.

    Raises:
        InputError: the set is not as it should be.
        NotRunning: Raydio does not run, or stopped.
    """
    wanted = read_questions(dataset) if collection else read_dataset(dataset)
    try:
        with nullcontext(client) if client else _client() as asking:
            found = _asked(Door(asking), wanted, collection, k)
    except KeyboardInterrupt as interruption:
        err.print("Interrupted; what was added has been deleted.", highlight=False)
        raise typer.Exit(EXIT_INTERRUPTED) from interruption
    lines = evaluation_report.judged(wanted.questions, found, k)
    sweeps = evaluation_report.swept(wanted.questions, found)
    _tell(wanted, lines, k)
    if threshold_sweep:
        _tell_thresholds(sweeps)
    if json_file:
        about = {
            "dataset": str(dataset),
            "k": k,
            "n_questions": len(wanted.questions),
            "n_answerable": len(wanted.answerable),
        }
        told = evaluation_report.as_json(lines, sweeps, about)
        json_file.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _client() -> httpx.Client:
    state = run_state.read()
    if state is None or not state.alive or not state.url:
        raise NotRunning("Raydio is not running.", "Start it: raydio up.")
    headers = {"Authorization": f"Bearer {access.token()}"}
    return httpx.Client(base_url=state.url.rstrip("/"), headers=headers, timeout=TIMEOUT_S, trust_env=False)


def _asked(door: Door, wanted: Dataset, collection: str, k: int) -> dict[Way, list[Found]]:
    ids = {file_name(at): entry.id for at, entry in enumerate(wanted.entries)}
    with _progress() as told:
        if collection:
            there = door.collection_id(collection)
            return ask_all(door, there, wanted.questions, {}, k=k, progress=told)
        with door.collection_of(wanted.entries, told) as made:
            return ask_all(door, made, wanted.questions, ids, k=k, progress=told)


@contextmanager
def _progress() -> Iterator[Any]:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=err, transient=True) as bars:
        task = bars.add_task("starting", total=None)
        yield lambda what, done, total: bars.update(task, description=what, completed=done, total=total)


def _tell(wanted: Dataset, lines: list[Line], k: int) -> None:
    out.print(evaluation_report.quality_table(lines, k))
    told = f"{len(wanted.answerable)} answerable questions; 95 % intervals; * best, ≈ not told apart from it."
    out.print(told, highlight=False)


def _tell_thresholds(sweeps: list[Sweep]) -> None:
    for one in sweeps:
        out.print()
        out.print(evaluation_report.threshold_table(one))
        if one.suggested:
            out.print(f"* keeps 95 % of the answers that are found: {one.suggested.at:.2f}", highlight=False)
