"""kill -9 in the middle of answers, again and again: what was seen is there."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from serve_apps.database import opened
from tests.conversation_process import SAVE_EVERY_S
from tests.conversations import USER, asked, made_conversations, text_of
from tests.databases import KINDS, fresh
from tests.fake_clients import FakeChat

N_KILLS = {"sqlite": 15, "postgresql": 6}
LATE_S = 0.25
"""How long a save may take on a busy machine, beyond how often one begins."""


class Processes:
    """Starts processes that answer, and kills them."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._input, self._output = process.stdin, process.stdout

    async def killed(self, key: str, after_s: float) -> list[dict[str, Any]]:
        """What a process told that was killed some time after its first question was stored."""
        self._input.write(f"{key}\n".encode())
        events: list[dict[str, Any]] = []
        pid, aimed = 0, False
        while "ended" not in (event := json.loads(await self._output.readline())):
            if "pid" in event:
                pid = event["pid"]
            else:
                events.append(event)
            if pid and events and not aimed:
                aimed = True
                asyncio.get_running_loop().call_later(after_s, os.kill, pid, signal.SIGKILL)
        assert event["ended"] == signal.SIGKILL
        return events


@asynccontextmanager
async def processes(url: str) -> AsyncIterator[Processes]:
    command = [sys.executable, "-m", "tests.conversation_process", url]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    yield Processes(process)
    assert process.stdin is not None
    process.stdin.close()
    assert await process.wait() == 0


def check_questions(database: Engine, events: list[dict[str, Any]]) -> None:
    """Every question that was seen as sent is there, with its text; and every answer seen as stored."""
    with database.connect() as connection:
        rows = {row.id: row for row in connection.execute(text("SELECT * FROM messages"))}
    for event in events:
        if "asked" in event:
            assert rows[event["asked"]].text == event["text"]
            assert rows[event["answer"]].parent_id == event["asked"]
        if "stored" in event:
            assert rows[event["stored"]].text == event["text"]
            assert rows[event["stored"]].status == "done"


def check_text(database: Engine, events: list[dict[str, Any]]) -> None:
    """What was seen long enough before the end is there: of each question the words are numbered."""
    with database.connect() as connection:
        stored = " ".join(connection.scalars(text("SELECT text FROM messages WHERE role = 'assistant'")))
    last = events[-1]["at"]
    seen = "".join(e["delta"] for e in events if "delta" in e and e["at"] < last - SAVE_EVERY_S - LATE_S)
    assert set(seen.split()) <= set(stored.split())


@pytest.mark.parametrize("kind", KINDS)
async def test_kill_minus_nine_loses_nothing_that_was_seen(kind: str, tmp_path: Path) -> None:
    rng = random.Random(9)  # noqa: S311
    with fresh(kind, tmp_path) as url:
        database = opened(url)
        key, n_interrupted = "-", 0
        async with processes(url.render_as_string(hide_password=False)) as answering:
            for _ in range(N_KILLS[kind]):
                events = await answering.killed(key, rng.random() * 0.5)
                check_questions(database, events)
                check_text(database, events)
                key = next(event["conversation"] for event in events if "asked" in event)
                n_interrupted += await gone_on(database, tmp_path, key)
        if kind == "sqlite":
            with database.connect() as connection:
                assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        database.dispose()
    assert n_interrupted


async def gone_on(database: Engine, folder: Path, key: str) -> bool:
    """A process that starts now finds nothing running, and goes on; whether something was interrupted."""
    conversations = made_conversations(folder, FakeChat("Here."), database=database)
    found = await conversations.open(USER, key)
    assert not found.summary.running
    assert text_of(await asked(conversations, "Next?", conversation_id=key)) == "Here."
    return found.messages[-1].status == "interrupted"
