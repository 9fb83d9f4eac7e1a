"""A process that adds, replaces and deletes documents until it is killed, again and again.

    python -m tests.knowledge_worker FOLDER N_KILLS SEED

What it is about to do and what was acknowledged are lines of FOLDER/log, as JSON: `["try" or "done", "add" or
"delete", name, version]`.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from tests.fake_clients import FakeEmbeddings
from tests.knowledge import added, made_knowledge

N_NAMES = 12
MAX_LIFE_S = 0.8


def word(name: str, version: int) -> str:
    """What only this version of a document says."""
    return f"{name}version{version}"


def paragraphs(name: str, version: int) -> list[str]:
    """Between one and forty passages."""
    n = 1 + (version * 7 + len(name)) % 40
    return [f"{word(name, version)} paragraph {number} of {n}" for number in range(n)]


class Worker:
    """One life."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._random = random.Random(seed)  # noqa: S311 -- repeatable
        self._version = 1000 * seed
        self._log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def work(self) -> None:
        """Until the end."""
        knowledge = made_knowledge(self._folder)
        collection = (await knowledge.collections("anna"))[0]
        ids = {one.name: one.id for one in await knowledge.documents("anna", collection.id)}
        self._write("ready", "", "", 0)
        while True:
            name = f"doc{self._random.randrange(N_NAMES)}"
            if name in ids and self._random.random() < 0.4:
                self._write("try", "delete", name, 0)
                await knowledge.delete("anna", ids.pop(name))
                self._write("done", "delete", name, 0)
                continue
            self._version += 1
            self._write("try", "add", name, self._version)
            texts = ["\n\n".join(paragraphs(name, self._version))]
            document = await added(knowledge, FakeEmbeddings(), "anna", collection.id, name, texts)
            ids[name] = document.id
            self._write("done", "add", name, self._version)

    def _write(self, *line: object) -> None:
        os.write(self._log, (json.dumps(line) + "\n").encode())


def n_lives(folder: Path) -> int:
    """How many have begun to work."""
    log = folder / "log"
    return log.read_text().count('"ready"') if log.exists() else 0


def kill_one(folder: Path, seed: int) -> None:
    """Start a life, and end it at a random moment of its work."""
    before = n_lives(folder)
    if (child := os.fork()) == 0:
        asyncio.run(Worker(folder, seed).work())
    while n_lives(folder) == before:
        assert os.waitpid(child, os.WNOHANG) == (0, 0), "it died by itself"
        time.sleep(0.005)
    time.sleep(random.Random(seed).random() * MAX_LIFE_S)  # noqa: S311 -- repeatable
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


if __name__ == "__main__":
    for life in range(int(sys.argv[2])):
        kill_one(Path(sys.argv[1]), int(sys.argv[3]) + life)
