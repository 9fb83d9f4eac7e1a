"""Passages and questions to judge retrieval by: two JSONL files in a folder; see docs/evaluation.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serve_apps.errors import InputError

__all__ = ["Dataset", "Entry", "Question", "read_dataset", "read_questions"]

CORPUS, QUERIES = "corpus.jsonl", "queries.jsonl"
HINT = "docs/evaluation.md describes the format."


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A passage of the corpus."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A query and the passages that answer it."""

    id: str
    text: str
    relevant: dict[str, int]
    """Passage id to grade, 1 or more; empty: the corpus does not answer it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """What is searched, and what for."""

    entries: tuple[Entry, ...]
    questions: tuple[Question, ...]

    @property
    def answerable(self) -> tuple[Question, ...]:
        """Those that retrieval can be judged by."""
        return tuple(question for question in self.questions if question.relevant)


def read_dataset(folder: Path) -> Dataset:
    """Read and check a set.

    Raises:
        InputError: a file is missing, a line is not as it should be, or an id is unknown or there twice.
    """
    entries = tuple(_entry(line, where) for line, where in _lines(folder / CORPUS))
    _check_ids([entry.id for entry in entries], folder / CORPUS)
    questions = read_questions(folder).questions
    _check_relevant(questions, {entry.id for entry in entries}, folder / QUERIES)
    return Dataset(entries=entries, questions=questions)


def read_questions(folder: Path) -> Dataset:
    """The questions alone, for documents that are somewhere already.

    Raises:
        InputError: as `read_dataset`.
    """
    questions = tuple(_question(line, where) for line, where in _lines(folder / QUERIES))
    _check_ids([question.id for question in questions], folder / QUERIES)
    if not any(question.relevant for question in questions):
        raise InputError(f"{folder / QUERIES}: no question has a relevant passage.", HINT)
    return Dataset(entries=(), questions=questions)


def _lines(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Each line's object and where it stands."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}.", HINT) from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _object(line, f"{path}, line {number}"), f"{path}, line {number}"


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise InputError(f"{where}: not JSON.", HINT) from error
    if not isinstance(found, dict):
        raise InputError(f"{where}: not a JSON object.", HINT)
    return found


def _entry(line: dict[str, Any], where: str) -> Entry:
    return Entry(
        id=_text(line, "_id", where), title=str(line.get("title") or ""), text=_text(line, "text", where)
    )


def _question(line: dict[str, Any], where: str) -> Question:
    relevant = line.get("relevant", {})
    graded = isinstance(relevant, dict) and all(
        type(grade) is int and grade >= 0 for grade in relevant.values()
    )
    if not graded:
        raise InputError(f"{where}: `relevant` must map passage ids to whole numbers from 0.", HINT)
    return Question(
        id=_text(line, "_id", where),
        text=_text(line, "text", where),
        relevant={passage: grade for passage, grade in relevant.items() if grade > 0},
    )


def _text(line: dict[str, Any], name: str, where: str) -> str:
    value = line.get(name)
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{where}: `{name}` must be a text that is not empty.", HINT)
    return value


def _check_ids(ids: list[str], path: Path) -> None:
    if not ids:
        raise InputError(f"{path} is empty.", HINT)
    if len(set(ids)) < len(ids):
        twice = next(one for one in ids if ids.count(one) > 1)
        raise InputError(f"{path}: the id {twice!r} is there more than once.", HINT)


def _check_relevant(questions: tuple[Question, ...], known: set[str], path: Path) -> None:
    for question in questions:
        if unknown := question.relevant.keys() - known:
            raise InputError(f"{path}: {question.id!r} names the unknown passage {min(unknown)!r}.", HINT)
