"""Databases for tests: SQLite in a folder, and PostgreSQL where `RAYDIO_TEST_DATABASE_URL` names one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, make_url

KINDS = ("sqlite", "postgresql")


@contextmanager
def fresh(kind: str, folder: Path) -> Iterator[URL]:
    """An empty database, gone afterwards; skips the test where there is no PostgreSQL."""
    if kind == "sqlite":
        yield URL.create("sqlite", database=str(folder / "raydio.db"))
        return
    server = os.environ.get("RAYDIO_TEST_DATABASE_URL")
    if not server:
        pytest.skip("no PostgreSQL: RAYDIO_TEST_DATABASE_URL is not set (scripts/postgres_for_tests.sh)")
    url = make_url(server).set(drivername="postgresql+psycopg")
    name = f"test_{secrets.token_hex(6)}"
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield url.set(database=name)
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()
