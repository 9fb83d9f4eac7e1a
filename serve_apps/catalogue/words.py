"""Search by words in SQLite's own full-text index: BM25 over what the catalogue says now.

Milvus Lite searches words in Python, ten times slower. Over PostgreSQL, which has no BM25, Milvus does it.
Source: https://www.sqlite.org/fts5.html
"""

from __future__ import annotations

import re
import time
import unicodedata
from contextlib import closing
from typing import Any

from sqlalchemy import Connection, Engine, TextClause, bindparam, text

from serve_apps.catalogue.fusion import Ranking
from serve_apps.catalogue.search import Plan
from serve_apps.catalogue.tables import MAX_PASSAGES
from serve_apps.database import reading, writing
from serve_apps.settings import ASSETS

MAX_QUERY_WORDS = 64
COMMON_SHARE = 0.2
"""A word in more of the passages than this says little about any, and is most of the work."""
COUNTS_KEPT_S = 60.0
MAX_COUNTS = 10_000
_WORD = re.compile(r"\w+")
_COMMON = frozenset((ASSETS / "common_words.txt").read_text(encoding="utf-8").split())
"""Words that questions are made of: rare in some texts, and yet they tell nothing."""
SCRUB_PAGES = 200
"""Of the index, in one step of some milliseconds."""
MIN_CHANGES = 2
"""A step that changes fewer rows than this did nothing."""
_CHANGES = text("SELECT total_changes()")
_MERGE = text("INSERT INTO passage_words(passage_words, rank) VALUES ('merge', :pages)")
_COUNT = text("SELECT doc FROM passage_vocabulary WHERE term = :word")
_SEARCH = """
    SELECT passage_words.rowid AS key, -passage_words.rank AS score
    FROM passage_words JOIN documents ON documents.key = passage_words.rowid / :max_passages
    WHERE passage_words MATCH :words AND documents.state = 'ready'
      AND documents.collection_id IN :collections {more}
    ORDER BY passage_words.rank LIMIT :limit
"""


class CatalogueWords:
    """BM25 over SQLite's full-text index."""

    def __init__(self, database: Engine) -> None:
        self._database = database
        self._counts: dict[str, int] = {}
        self._counts_until_s = 0.0
        self._in_all = _statement("")
        self._in_some = _statement("AND documents.key IN :documents", "documents")

    def search(self, query: str, plan: Plan, limit: int) -> Ranking:
        """Passages that can be found, best first; higher is better."""
        words = list(dict.fromkeys(_WORD.findall(_folded(query))))[:MAX_QUERY_WORDS]
        if not words or not plan.places:
            return []
        given: dict[str, Any] = {
            "collections": [place.collection_id for place in plan.places],
            "limit": limit,
            "max_passages": MAX_PASSAGES,
        }
        wanted = self._in_all
        if plan.scope.documents is not None:
            wanted, given["documents"] = self._in_some, list(plan.scope.documents)
        with reading(self._database) as connection:
            # Each word is quoted, and none has anything but letters and digits in it.
            given["words"] = " OR ".join(f'"{word}"' for word in self._telling(connection, words))
            return [(row.key, row.score) for row in connection.execute(wanted, given)]

    def scrub(self) -> None:
        """Take what was deleted out of the files, too: the index marks it, and the log still has it.

        In small steps: other writers of the database wait for one at most.
        """
        pages = -SCRUB_PAGES  # less than nothing: all of the index, not only what is ripe for it
        n_changes = MIN_CHANGES
        while n_changes >= MIN_CHANGES:
            with writing(self._database) as connection:
                before = connection.scalar(_CHANGES) or 0
                connection.execute(_MERGE, {"pages": pages})
                n_changes = (connection.scalar(_CHANGES) or 0) - before
            pages = SCRUB_PAGES
        with closing(self._database.raw_connection()) as connection:  # a transaction could not do it
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _telling(self, connection: Connection, words: list[str]) -> list[str]:
        """Those that few passages have; if all are common, the three least so."""
        if time.monotonic() > self._counts_until_s or len(self._counts) > MAX_COUNTS:
            self._counts = {}
            self._counts_until_s = time.monotonic() + COUNTS_KEPT_S
        known = [word for word in words if self._count(connection, word)]
        most = COMMON_SHARE * self._count(connection, "")
        asked = [word for word in known if word not in _COMMON]
        telling = [word for word in asked if self._count(connection, word) <= most]
        return telling or sorted(asked or known or words, key=lambda word: self._count(connection, word))[:3]

    def _count(self, connection: Connection, word: str) -> int:
        """Passages with a word, as of a minute ago at most; of "", all passages."""
        if word not in self._counts:
            wanted = _COUNT if word else text("SELECT count(*) FROM passages")
            found = connection.scalar(wanted, {"word": word} if word else {})
            self._counts[word] = found or 0
        return self._counts[word]


def _folded(query: str) -> str:
    """As the index has its words: in lower case, without accents."""
    apart = unicodedata.normalize("NFD", query.lower())
    return "".join(character for character in apart if not unicodedata.combining(character))


def _statement(more: str, *lists: str) -> TextClause:
    wanted = text(_SEARCH.format(more=more))
    return wanted.bindparams(*(bindparam(name, expanding=True) for name in ("collections", *lists)))
