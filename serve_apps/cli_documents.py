"""`raydio ingest`, `reindex`, `documents`, `forget`: the REST door of documents from the command line."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from serve_apps.errors import InputError, NotFound
from serve_apps.settings import settings

if TYPE_CHECKING:
    from serve_apps.documents_client import Event, LocalFile

DEFAULT_COLLECTION = "Documents"
EXIT_FAILED, EXIT_INTERRUPTED = 1, 130
_MIB = 2**20
_SHOWN_FAILURES = 50

out = Console()
CollectionOption = Annotated[str, typer.Option("--collection", "-c", help="The collection's name.")]


@dataclass(slots=True)
class Report:
    """What came of all groups of files together."""

    started: float = field(default_factory=time.monotonic)
    n_added: int = 0
    n_skipped: int = 0
    n_passages: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)

    def take(self, event: Event) -> None:
        """Count an event."""
        match event["type"]:
            case "file_added":
                self.n_added += 1
                self.n_passages += event["document"]["n_passages"]
            case "file_skipped":
                self.n_skipped += 1
            case "file_failed":
                self.failed.append((event["name"], event["message"]))

    @property
    def n_over(self) -> int:
        """Files that are done with."""
        return self.n_added + self.n_skipped + len(self.failed)

    def show(self) -> None:
        """Print it."""
        if self.failed:
            _table(("file", "why"), self.failed[:_SHOWN_FAILURES])
            if len(self.failed) > _SHOWN_FAILURES:
                out.print(f"and {len(self.failed) - _SHOWN_FAILURES} more", highlight=False)
        took_s = time.monotonic() - self.started
        out.print(
            f"{self.n_added} added ({self.n_passages} passages), {self.n_skipped} unchanged, "
            f"{len(self.failed)} failed, in {took_s:.1f} s.",
            highlight=False,
        )


def ingest(
    paths: Annotated[list[Path] | None, typer.Argument(help="Files, folders and ZIP archives.")] = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    tag: Annotated[list[str] | None, typer.Option(help="Put this tag on them; may be repeated.")] = None,
    url: Annotated[list[str] | None, typer.Option(help="Fetch this page, too; may be repeated.")] = None,
) -> None:
    """Add documents for answers to rest on; unchanged ones are skipped. Exit status 1 if any failed."""
    from serve_apps.documents_client import DocumentsClient, files_in, grouped  # noqa: PLC0415 -- HTTP is 0.1 s

    files, urls, tags = list(files_in(paths or [])), url or [], tag or []
    if not files and not urls:
        raise InputError("There are no files to add.", "Name files or folders, or --url.")
    report = Report()
    sent = list(_small_enough(files, report))
    with DocumentsClient.connected() as client:
        into = client.collection(collection, create=True)["id"]
        streams: list[Any] = [partial(client.add_files, into, group, tags) for group in grouped(sent)]
        if urls:
            streams.append(partial(client.add_urls, into, urls, tags))
        _follow(streams, report, n_files=len(files) + len(urls))
    report.show()
    if report.failed:
        raise typer.Exit(EXIT_FAILED)


def reindex(
    name: Annotated[str, typer.Argument(help="The collection's name.")] = DEFAULT_COLLECTION,
) -> None:
    """Embed a collection again with the model that runs now; until the end, searches use the old vectors."""
    from serve_apps.documents_client import DocumentsClient  # noqa: PLC0415

    report = Report()
    with DocumentsClient.connected() as client:
        collection = client.collection(name)
        _follow([partial(client.reindex, collection["id"])], report, n_files=1)
        n_passages = client.collection(collection["id"])["n_passages"]
    out.print(f"{collection['name']} is indexed again: {n_passages} passages.", highlight=False)


def documents(collection: CollectionOption = "") -> None:
    """List documents, of one collection or of all."""
    from serve_apps.documents_client import DocumentsClient  # noqa: PLC0415

    with DocumentsClient.connected() as client:
        chosen = [client.collection(collection)] if collection else client.collections()
        rows = [_cells(one, document) for one in chosen for document in client.documents(one["id"])]
    if rows:
        _table(("collection", "document", "kind", "pages", "passages", "tags", "added"), rows)
    else:
        out.print("There are no documents: `raydio ingest PATH` adds some.", highlight=False)


def forget(
    name: Annotated[str, typer.Argument(help="The document's name, as `raydio documents` prints it.")],
    collection: CollectionOption = DEFAULT_COLLECTION,
) -> None:
    """Delete a document; says how many of its vectors are left, counted in the store."""
    from serve_apps.documents_client import DocumentsClient  # noqa: PLC0415

    with DocumentsClient.connected() as client:
        into = client.collection(collection)
        for document in client.documents(into["id"]):
            if name in (document["name"], document["id"]):
                deleted = client.delete(document["id"])
                out.print(
                    f"Deleted {document['name']}: {deleted['n_passages']} passages; "
                    f"{deleted['n_remaining']} of its vectors are left.",
                    highlight=False,
                    markup=False,
                )
                return
    raise NotFound(
        f"There is no document {name!r} in {into['name']!r}.",
        f"See what is there: raydio documents --collection {into['name']!r}.",
    )


def register(app: typer.Typer) -> None:
    """Add the commands to `raydio`."""
    for command in (ingest, reindex, documents, forget):
        app.command()(command)


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal; lines with tabs for other programs."""
    if not out.is_terminal:
        for row in rows:
            typer.echo("\t".join(row))
        return
    grid = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for title in titles:
        grid.add_column(title, overflow="fold")
    for row in rows:
        grid.add_row(*map(Text, row))
    out.print(grid)


def _small_enough(files: Iterable[LocalFile], report: Report) -> Iterator[LocalFile]:
    """Files that the door would take: a larger one is not sent to be refused."""
    limit_mib = settings().max_upload_mb
    for file in files:
        if file.size_bytes > limit_mib * _MIB:
            report.failed.append((file.name, f"The file is larger than {limit_mib} MiB, the limit here."))
        else:
            yield file


def _follow(streams: Iterable[Any], report: Report, *, n_files: int) -> None:
    """Show what happens until all streams have ended; Ctrl-C closes the one under way, which cancels it."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=out, transient=True) as progress:
        overall = progress.add_task("", total=n_files)
        shown: dict[str, TaskID] = {}
        try:
            for stream in streams:
                with closing(stream()) as events:
                    for event in events:
                        report.take(event)
                        _show(progress, shown, event)
                        progress.update(
                            overall, completed=report.n_over, description=_overall(report, n_files)
                        )
        except KeyboardInterrupt:
            progress.stop()
            out.print("Cancelled; what was added stays.", highlight=False)
            report.show()
            raise typer.Exit(EXIT_INTERRUPTED) from None


def _show(progress: Progress, shown: dict[str, TaskID], event: Event) -> None:
    """A line for each file under way; a file that has ended loses its line."""
    name = event.get("name", "")
    if event["type"] == "file_progress":
        if name not in shown:
            shown[name] = progress.add_task("", total=1.0)
        progress.update(shown[name], description=f"{name[-48:]}  {event['step']}", completed=event["done"])
        return
    ended = list(shown) if event["type"] == "ingest_done" else [name]
    for one in ended:
        if one in shown:
            progress.remove_task(shown.pop(one))


def _overall(report: Report, n_files: int) -> str:
    return f"{report.n_over} of {max(n_files, report.n_over)} files"


def _cells(collection: dict[str, Any], document: dict[str, Any]) -> tuple[str, ...]:
    added = time.strftime("%Y-%m-%d %H:%M", time.localtime(document["added_s"]))
    counts = (str(document["n_pages"]), str(document["n_passages"]))
    return (
        collection["name"],
        document["name"],
        document["kind"],
        *counts,
        ", ".join(document["tags"]),
        added,
    )
