"""The SQL database: SQLite in the home folder, or PostgreSQL by `DATABASE_URL`.

Conversations and the catalogue of documents are in it; vectors are not.

Blocking, as SQLAlchemy is: callers on an event loop use a thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock
from sqlalchemy import Connection, Engine, MetaData, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url

from serve_apps.settings import settings

LATEST = "0002"
"""The newest revision in `serve_apps/migrations/versions`."""
MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_TIMEOUT_S = 10.0
"""How long a writer waits for another one, SQLite's own queue."""
_ADVISORY_LOCK = 0x7261_7964
"""Which of PostgreSQL's advisory locks migrations take."""

metadata = MetaData()
"""Tables register themselves here: `conversation_tables`, `catalogue_tables`."""


def address() -> URL:
    """Where the database is."""
    configured = settings().database_url
    if configured is None:
        return URL.create("sqlite", database=str(settings().home_dir / "raydio.db"))
    url = make_url(configured.get_secret_value())
    return url.set(drivername="postgresql+psycopg") if url.drivername in ("postgres", "postgresql") else url


@cache
def engine() -> Engine:
    """The process's database, brought up to date on first use."""
    return opened(address())


def opened(url: URL) -> Engine:
    """A database of its own connections, its tables as this version needs them."""
    if url.drivername == "sqlite" and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = create_engine(url, pool_pre_ping=url.drivername != "sqlite")
    if made.dialect.name == "sqlite":
        event.listen(made, "connect", _set_up_sqlite)
    migrate(made)
    return made


def _set_up_sqlite(connection: Any, _record: object) -> None:
    # Autocommit off: SQLAlchemy begins; readers and a writer do not wait for each other in WAL mode.
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # a sent message survives a power cut, too
        "foreign_keys=ON",
        "secure_delete=ON",  # what is deleted is overwritten
        f"busy_timeout={BUSY_TIMEOUT_S * 1000:.0f}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def migrate(database: Engine) -> None:
    """Bring the tables to LATEST; of processes that start together one does it, the others wait."""
    if _revision(database) == LATEST:
        return
    from alembic import command  # noqa: PLC0415 -- 0.2 s that most starts do without
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with _alone(database) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _revision(database: Engine) -> str | None:
    with database.connect() as connection:
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
