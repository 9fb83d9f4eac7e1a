"""The SQL database: SQLite in the home folder, or PostgreSQL by `DATABASE_URL`.

Conversations and the catalogue of documents are in it; vectors are not. Several processes use it at once.

Blocking, as SQLAlchemy is: callers on an event loop use a thread.
"""

from __future__ import annotations

import fcntl
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock
from sqlalchemy import Connection, Engine, MetaData, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url

from serve_apps.errors import ConfigError
from serve_apps.settings import settings

LATEST = "0002"
"""The newest revision in `serve_apps/migrations/versions`."""
MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_TIMEOUT_S = 10.0
"""How long a writer waits for another one: SQLite's own queue, PostgreSQL's locks."""
CONNECT_TIMEOUT_S = 5
N_CONNECTIONS = 8
"""Of one process, at most; callers that use more threads wait for one."""
_ADVISORY_LOCK = 0x7261_7964
"""Which of PostgreSQL's advisory locks migrations take."""
_READING: dict[str, dict[str, Any]] = {
    "sqlite": {"raydio_reading": True},
    "postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
}

metadata = MetaData()
"""Tables register themselves here: `conversation.tables`, `catalogue.tables`."""


def address() -> URL:
    """Where the database is."""
    configured = settings().database_url
    if configured is None:
        return URL.create("sqlite", database=str(settings().home_dir / "raydio.db"))
    url = make_url(configured.get_secret_value())
    return url.set(drivername="postgresql+psycopg") if url.drivername in ("postgres", "postgresql") else url


def engine() -> Engine:
    """The process's database, brought up to date on first use."""
    return _kept(address())


@cache
def _kept(url: URL) -> Engine:
    return opened(url)


def opened(url: URL) -> Engine:
    """A database of its own connections, its tables as this version needs them.

    Raises:
        ConfigError: its tables belong to a newer version.
        sqlalchemy.exc.DBAPIError: it cannot be reached.
    """
    made = create_engine(url, **_options(url))
    if made.dialect.name == "sqlite":
        _make_file(url)
        event.listen(made, "connect", lambda connection, _record: _set_up_sqlite(connection, url))
        event.listen(made, "begin", _begin_sqlite)
    _forget_in_children(made)
    try:
        migrate(made)
    except BaseException:
        made.dispose()
        raise
    return made


@contextmanager
def reading(database: Engine) -> Iterator[Connection]:
    """A transaction that only reads: it sees one moment, and waits for nobody."""
    options = _READING[database.dialect.name]
    with database.connect().execution_options(**options) as connection, connection.begin():
        yield connection


@contextmanager
def writing(database: Engine) -> Iterator[Connection]:
    """A transaction that writes: all of it or nothing, durable when this ends."""
    with database.begin() as connection:
        yield connection


def _options(url: URL) -> dict[str, Any]:
    pool = {"pool_size": N_CONNECTIONS, "max_overflow": 0, "pool_timeout": BUSY_TIMEOUT_S}
    if url.get_backend_name() == "sqlite":
        return {**pool, "connect_args": {"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}}
    # Compiling a search takes longer than running it.
    options = f"-c lock_timeout={BUSY_TIMEOUT_S * 1000:.0f} -c jit=off"
    connect = {"connect_timeout": CONNECT_TIMEOUT_S, "options": options, "application_name": "raydio"}
    return {**pool, "pool_pre_ping": True, "connect_args": connect}


def _make_file(url: URL) -> None:
    """Conversations are for their owner's eyes; SQLite gives its other files the same mode."""
    path = Path(url.database or "")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)


def _set_up_sqlite(connection: Any, url: URL) -> None:
    # Python's driver would begin transactions by itself, late and always deferred: `_begin_sqlite` does.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_S * 1000:.0f}",
        "synchronous=FULL",  # a sent message survives a power cut, too
        "foreign_keys=ON",
        "secure_delete=ON",  # what is deleted is overwritten
    ):
        cursor.execute(f"PRAGMA {pragma}")
    # Readers and a writer do not wait for each other. Where two make a file so at once, SQLite fails one.
    with _next_in_line(url):
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Writers queue when they begin: one that read first could not become a writer after another wrote."""
    if connection.get_execution_options().get("raydio_reading"):
        connection.exec_driver_sql("BEGIN")
        return
    with _next_in_line(connection.engine.url):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def _next_in_line(url: URL) -> Iterator[None]:
    """One of those who wait for the writer: who has just written lines up again, behind it.

    SQLite alone lets each waiter ask now and then, and one that writes on and on is always there first.
    Whoever is here waits for no more than one transaction, so no time limit is needed.
    """
    with open(f"{url.database}.queue", "wb", opener=_for_its_owner) as queue:
        fcntl.flock(queue, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(queue, fcntl.LOCK_UN)  # a process forked meanwhile has the file open, too


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)


def _forget_in_children(database: Engine) -> None:
    """A forked process must not speak on its parent's connections, nor close them."""
    reference = weakref.ref(database)

    def forget() -> None:
        if (inherited := reference()) is not None:
            inherited.dispose(close=False)

    os.register_at_fork(after_in_child=forget)


def migrate(database: Engine) -> None:
    """Bring the tables to LATEST; of processes that start together one does it, the others wait."""
    if (found := _revision(database)) == LATEST:
        return
    if found is not None and found > LATEST:
        raise ConfigError(
            f"The database was made by a newer Raydio (revision {found}, this one knows {LATEST}).",
            "Install that version again, or name another database in DATABASE_URL or RAYDIO_HOME.",
        )
    from alembic import command  # noqa: PLC0415 -- 0.2 s that most starts do without
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with _alone(database) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _revision(database: Engine) -> str | None:
    with reading(database) as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


@contextmanager
def _alone(database: Engine) -> Iterator[Connection]:
    if database.dialect.name == "sqlite":
        with FileLock(f"{database.url.database}.lock", mode=0o600), database.begin() as connection:
            yield connection
        return
    with database.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        yield connection
