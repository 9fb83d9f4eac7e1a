"""The database: migrations make what the tables say, processes share it, what is deleted is gone."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL

from serve_apps import database as databases
from serve_apps.catalogue import tables as catalogue_tables
from serve_apps.conversation import tables as conversation_tables
from serve_apps.errors import ConfigError
from serve_apps.settings import settings
from tests.conversations import sqlite_url

WRITES = """
import sys
from sqlalchemy import insert, select, func
from sqlalchemy.engine import URL
from serve_apps.conversation.tables import writers
from serve_apps.database import opened, reading, writing
made = opened(URL.create("sqlite", database=sys.argv[1]))
for n in range(100):
    with writing(made) as connection:  # reads first: with deferred transactions this is where locks fail
        count = connection.scalar(select(func.count()).select_from(writers))
        row = {"id": f"{sys.argv[2]}-{n}", "place": "", "pid": count, "alive_s": 0.0}
        connection.execute(insert(writers).values(row))
"""

ON_AND_ON = """
import sys, time
from sqlalchemy import text
from sqlalchemy.engine import URL
from serve_apps.database import opened, writing
made = opened(URL.create("sqlite", database=sys.argv[1]))
for n in range(100):
    with writing(made) as connection:
        connection.execute(text(f"INSERT INTO conversation_writers VALUES ('{n}', '', 1, 0)"))
        print(n, flush=True)
        time.sleep(0.05)  # a disk that takes its time
"""


def test_migrations_make_what_the_tables_say(database: Engine) -> None:
    tables = set(databases.metadata.tables)
    assert {catalogue_tables.documents.name, conversation_tables.messages.name} <= tables
    with database.connect() as connection:
        options = {"compare_type": True, "include_name": _is_ours}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, databases.metadata) == []


def _is_ours(name: str | None, kind: str, _parents: object) -> bool:
    """Not the tables of SQLite's full-text index, which SQLAlchemy has no words for."""
    of_the_index = (name or "").startswith(("passage_words", "passage_vocabulary"))
    return kind != "table" or not of_the_index


def test_processes_that_start_together_migrate_once(tmp_path: Path) -> None:
    path = str(tmp_path / "raydio.db")
    code = "import sys; from sqlalchemy.engine import URL; from serve_apps.database import opened\n"
    code += "opened(URL.create('sqlite', database=sys.argv[1]))"
    started = [subprocess.Popen([sys.executable, "-c", code, path]) for _ in range(3)]
    assert [process.wait(60) for process in started] == [0, 0, 0]


def test_two_processes_write_the_same_file(tmp_path: Path) -> None:
    path = str(tmp_path / "raydio.db")
    started = [subprocess.Popen([sys.executable, "-c", WRITES, path, name]) for name in "ab"]
    assert [process.wait(120) for process in started] == [0, 0]
    made = databases.opened(sqlite_url(tmp_path))
    with databases.reading(made) as connection:
        counts = connection.scalars(text("SELECT pid FROM conversation_writers ORDER BY pid")).all()
    made.dispose()
    assert counts == list(range(200))  # each saw all that were written before it


def test_a_writer_that_goes_on_and_on_lets_others_in(tmp_path: Path) -> None:
    made = databases.opened(sqlite_url(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-c", ON_AND_ON, str(tmp_path / "raydio.db")], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        with databases.writing(made) as connection:
            n_before = connection.scalar(text("SELECT count(*) FROM conversation_writers"))
        process.kill()
    made.dispose()
    assert n_before < 50  # of a hundred: SQLite's own queue lets nobody in before the last


def test_readers_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    made = databases.opened(sqlite_url(tmp_path))
    with databases.writing(made) as writer:
        writer.execute(text("INSERT INTO conversation_writers VALUES ('a', '', 1, 0)"))
        with databases.reading(made) as reader:
            assert reader.scalar(text("SELECT count(*) FROM conversation_writers")) == 0
    with databases.reading(made) as reader:
        assert reader.scalar(text("SELECT count(*) FROM conversation_writers")) == 1
    made.dispose()


def test_a_reader_sees_one_moment(database: Engine) -> None:
    count = text("SELECT count(*) FROM conversation_writers")
    with databases.reading(database) as reader:
        assert reader.scalar(count) == 0
        with databases.writing(database) as writer:
            writer.execute(text("INSERT INTO conversation_writers VALUES ('a', '', 1, 0)"))
        assert reader.scalar(count) == 0


def test_a_failed_transaction_leaves_nothing(database: Engine) -> None:
    def fail() -> None:
        with databases.writing(database) as connection:
            connection.execute(text("INSERT INTO conversation_writers VALUES ('a', '', 1, 0)"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with databases.reading(database) as connection:
        assert connection.scalar(text("SELECT count(*) FROM conversation_writers")) == 0


def test_more_threads_than_connections_wait_their_turn(tmp_path: Path) -> None:
    made = databases.opened(sqlite_url(tmp_path))

    def write(n: int) -> None:
        with databases.writing(made) as connection:
            values = {"id": str(n)}
            connection.execute(text("INSERT INTO conversation_writers VALUES (:id, '', 1, 0)"), values)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(3 * databases.N_CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with databases.reading(made) as connection:
        assert connection.scalar(text("SELECT count(*) FROM conversation_writers")) == len(threads)
    made.dispose()


FORKS = """
import os, sys
from sqlalchemy import text
from sqlalchemy.engine import URL
from serve_apps.database import opened, writing
made = opened(URL.create("sqlite", database=sys.argv[1]))
with writing(made) as connection:
    connection.execute(text("SELECT 1"))
    raw = id(connection.connection.dbapi_connection)
    child = os.fork()
    if child == 0:
        os._exit(0 if made.pool.checkedin() == 0 and made.pool.checkedout() == 0 else 1)
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_no_connections(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKS, str(tmp_path / "raydio.db")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_newer_database_is_refused_with_a_way_out(tmp_path: Path) -> None:
    made = databases.opened(sqlite_url(tmp_path))
    with databases.writing(made) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    made.dispose()
    with pytest.raises(ConfigError, match="newer Raydio") as refused:
        databases.opened(sqlite_url(tmp_path))
    assert refused.value.hint


def test_the_environment_names_the_database(monkeypatch: pytest.MonkeyPatch, raydio_home: Path) -> None:
    assert databases.address() == URL.create("sqlite", database=str(raydio_home / "raydio.db"))
    monkeypatch.setenv("DATABASE_URL", "postgres://me:secret@host/raydio")
    settings.cache_clear()
    url = databases.address()
    assert (url.drivername, url.host, url.password) == ("postgresql+psycopg", "host", "secret")


def test_only_its_owner_reads_the_file(tmp_path: Path) -> None:
    made = databases.opened(sqlite_url(tmp_path / "new"))
    with databases.writing(made) as connection:
        connection.execute(text("INSERT INTO conversation_writers VALUES ('a', '', 1, 0)"))
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "new").iterdir()}
    made.dispose()
    assert set(modes.values()) == {0o600}, modes
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
