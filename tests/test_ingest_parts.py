"""Parts of ingest: what is told and how often, temporary files, patience, tickets that are kept open."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from serve_apps.errors import StageBusy, StageUnavailable
from serve_apps.ingestion import progress as ingest_progress
from serve_apps.ingestion import tickets as ingest_tickets
from serve_apps.ingestion.patience import patiently, to_the_end
from serve_apps.ingestion.progress import Board
from serve_apps.ingestion.spool import Spool
from serve_apps.ingestion.tickets import EmbeddingModel, Stages, Tickets
from serve_apps.wire_knowledge import FileFailed, FileProgress, FileSkipped, NewDocument, Page, Ticket

ROOT = Path(__file__).resolve().parent.parent


# ---- progress ----------------------------------------------------------------------------------


async def test_results_come_at_once_and_in_order() -> None:
    board = Board(3)
    for n in range(3):
        board.tell(n, FileSkipped(name=str(n), reason="unchanged"))
    board.end()
    assert [event.name async for event in board.events()] == ["0", "1", "2"]  # type: ignore[union-attr]
    assert board.report().n_skipped == 3


async def test_however_much_happens_progress_is_told_a_few_times_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ingest_progress, "INTERVAL_S", 0.02)
    board = Board(2)

    async def work() -> None:
        for n in range(20_000):
            board.at(n % 2, str(n % 2), "embedding", n / 20_000)
            if n % 100 == 0:
                await asyncio.sleep(0)
        board.end()

    working = asyncio.create_task(work())
    told = [event async for event in board.events()]
    await working
    assert len(told) < 200


async def test_the_oldest_file_and_the_latest_news_are_told() -> None:
    board = Board(5)
    for n in range(5):
        board.at(n, f"{n}", "reading")
    board.at(3, "3", "storing", 2.0)
    first, second = [await anext(events) for events in [board.events()] for _ in range(2)]
    assert isinstance(first, FileProgress)
    assert isinstance(second, FileProgress)
    assert (first.name, second.name, second.step, second.done) == ("0", "3", "storing", 1.0)


async def test_a_report_holds_what_failed() -> None:
    board = Board(1)
    failed = FileFailed(name="a", code="x", message="y")
    board.tell(0, failed)
    assert (board.report().n_failed, board.report().failed) == (1, (failed,))


# ---- temporary files ---------------------------------------------------------------------------


def test_rooms_are_private_and_vanish(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    with spool.room() as room:
        first, second = room.new_path(), room.new_path()
        first.write_bytes(b"x")
        assert first != second
        for folder in (tmp_path / "spool", spool.folder, room.folder):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not room.folder.exists()
    spool.close()
    assert not spool.folder.exists()


def test_what_a_killed_process_left_is_removed_and_what_others_use_is_not(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib; from serve_apps.ingestion.spool import Spool\n"
        "spool = Spool(pathlib.Path(sys.argv[1])); context = spool.room(); room = context.__enter__()\n"
        "room.new_path().write_bytes(b'secret'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "spool")], cwd=ROOT, check=False)
    assert list((tmp_path / "spool").rglob("0"))
    mine = Spool(tmp_path / "spool")
    with mine.room() as room:
        room.new_path().write_bytes(b"kept")
        another = Spool(tmp_path / "spool")
        assert [path.read_bytes() for path in (tmp_path / "spool").rglob("0")] == [b"kept"]
    another.close()
    mine.close()


# ---- patience ----------------------------------------------------------------------------------


async def test_patience_ends() -> None:
    calls = 0

    async def busy() -> None:
        nonlocal calls
        calls += 1
        raise StageBusy("embeddings", "Busy.", "", 0.01)

    with pytest.raises(StageBusy):
        await patiently(busy, 0.5)
    assert 2 <= calls <= 4  # a fifth of a second between them, at least


async def test_a_stage_that_comes_back_is_asked_again() -> None:
    answers: list[Any] = [StageUnavailable("knowledge", "Away.", "", 0.01), "here"]

    async def call() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    assert await patiently(call, 5.0) == "here"


async def test_what_must_not_be_half_done_is_done_when_its_caller_leaves() -> None:
    begun, may_end, done = asyncio.Event(), asyncio.Event(), []

    async def work() -> None:
        begun.set()
        await may_end.wait()
        done.append(True)

    caller = asyncio.create_task(to_the_end(work()))
    await begun.wait()
    caller.cancel()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert done


# ---- tickets -----------------------------------------------------------------------------------


class Renewed:
    """A knowledge stage that gives one ticket, and says when it is renewed and abandoned."""

    def __init__(self) -> None:
        self.renewed = asyncio.Event()
        self.abandoned: list[Ticket] = []

    async def begin(self, *_: object) -> Ticket:
        return Ticket(document_id="d", collection_id="c")

    async def add_pages(self, _ticket: Ticket, pages: tuple[Page, ...]) -> None:
        assert pages == ()
        self.renewed.set()

    async def abandon(self, ticket: Ticket) -> None:
        self.abandoned.append(ticket)
        raise StageUnavailable("knowledge", "Away.")


async def test_open_tickets_are_renewed_and_abandoned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_tickets, "RENEW_S", 0.001)
    knowledge: Any = Renewed()
    none: Any = None
    tickets = Tickets(Stages(stt=none, embeddings=none, knowledge=knowledge, patience_s=1))
    document = NewDocument(name="a", kind="text", media_type="text/plain", sha256="0" * 64, size_bytes=1)
    ticket = await tickets.begin("owner", "c", document, EmbeddingModel("m", 3))
    renewing = asyncio.create_task(tickets.keep_open())
    await asyncio.wait_for(knowledge.renewed.wait(), 10)
    renewing.cancel()
    await tickets.abandon_all()
    await tickets.abandon(ticket)
    assert knowledge.abandoned == [ticket]
