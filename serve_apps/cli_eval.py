"""`raydio eval`: how good this Raydio is at what it does, on sets of one's own."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Judge this Raydio on sets of questions.")


@app.callback()
def options() -> None:
    """Judge this Raydio on sets of questions."""


@app.command()
def retrieval(
    dataset: Annotated[
        Path, typer.Argument(help="Folder with corpus.jsonl and queries.jsonl; see docs/evaluation.md.")
    ],
    collection: Annotated[
        str,
        typer.Option(
            help="Judge this collection as it is; relevant ids are then the names of its documents."
        ),
    ] = "",
    k: Annotated[int, typer.Option(min=1, max=100, help="Judge this many of the first results.")] = 10,
    json_file: Annotated[
        Path | None, typer.Option("--json", dir_okay=False, help="Write the numbers to this file, too.")
    ] = None,
    threshold_sweep: Annotated[
        bool, typer.Option("--threshold-sweep", help="Show what thresholds on the scores would do.")
    ] = False,
) -> None:
    """Measure search: dense, BM25 and hybrid, each with and without the reranker.

    The corpus goes into a collection of its own, which is deleted at the end.
    """
    importlib.import_module("serve_apps.evaluation_command").retrieval(
        dataset, collection, k=k, json_file=json_file, threshold_sweep=threshold_sweep
    )
