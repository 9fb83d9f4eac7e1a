"""Which processes write answers, and which of them are dead: their answers have ended without an end."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from serve_apps.conversation.rows import Row
from serve_apps.conversation.tables import messages, writers

DEAD_AFTER_S = 10.0
"""A writer that was not heard of for so long is dead; it says that it lives far more often."""
ALIVE_EVERY_S = 2.0
FORGOTTEN_AFTER_S = 86_400.0
"""When the row of a writer that left nothing behind is removed."""
_INSERT: dict[str, Callable[..., sqlite.Insert | postgresql.Insert]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}


def _place() -> str:
    """Where a process id means the same process: this host since it started, and its process namespace."""
    parts = [socket.gethostname()]
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if boot.exists():
        parts.append(boot.read_text(encoding="ascii").strip())
    if namespace.is_symlink():
        parts.append(str(namespace.readlink()))
    return " ".join(parts)


PLACE = _place()


def now_of(connection: Connection) -> float:
    """Unix time by one clock for all machines: the database's."""
    if connection.dialect.name == "sqlite":
        return time.time()
    return float(connection.scalar(select(func.extract("epoch", func.clock_timestamp()))) or 0.0)


def say_alive(connection: Connection, writer: str) -> None:
    """Write down that this process, which writes as `writer`, lives."""
    now_s = now_of(connection)
    busy = select(messages.c.writer).where(messages.c.status == "writing")
    old = (writers.c.alive_s < now_s - FORGOTTEN_AFTER_S) & writers.c.id.not_in(busy)
    connection.execute(delete(writers).where(old))
    row = {"id": writer, "place": PLACE, "pid": os.getpid(), "alive_s": now_s}
    # Two threads may say it at once for the first time.
    inserted = _INSERT[connection.dialect.name](writers).values(row)
    connection.execute(inserted.on_conflict_do_update(index_elements=["id"], set_={"alive_s": now_s}))


def dead_of(connection: Connection, named: set[str]) -> set[str]:
    """Which of these writers are dead."""
    if not named:
        return set()
    now_s = now_of(connection)
    rows = connection.execute(select(writers).where(writers.c.id.in_(named))).mappings()
    return named - {row["id"] for row in rows if _is_alive(row, now_s)}


def _is_alive(writer: Row, now_s: float) -> bool:
    if writer["place"] == PLACE and not _runs(writer["pid"]):
        return False
    return bool(now_s - writer["alive_s"] < DEAD_AFTER_S)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def interrupt(connection: Connection, answer_ids: Sequence[str]) -> int:
    """Mark answers that nobody writes any more; how many those were."""
    theirs = (messages.c.status == "writing") & messages.c.id.in_(answer_ids)
    return connection.execute(update(messages).where(theirs).values(status="interrupted")).rowcount
