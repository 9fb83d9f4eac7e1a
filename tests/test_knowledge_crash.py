"""Killed at any moment: what was acknowledged is there, what was deleted is not, and all agree on it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from serve_apps.knowledge import KnowledgeStage
from serve_apps.settings import settings
from tests.fake_clients import FakeEmbeddings
from tests.knowledge import added, made_knowledge, searched
from tests.knowledge_worker import N_NAMES, paragraphs, word

N_KILLS = 16


def acceptable(folder: Path) -> dict[str, set[int]]:
    """By name: the versions that may be there now; 0 is none. More than one where the kill came first."""
    states: dict[str, set[int]] = {f"doc{n}": {0} for n in range(N_NAMES)}
    for line in (folder / "log").read_text().splitlines():
        step, what, name, version = json.loads(line)
        after = version if what == "add" else 0
        if step == "try":
            states[name] |= {after}
        elif step == "done":
            states[name] = {after}
    return states


async def version_of(knowledge: KnowledgeStage, name: str, versions: set[int]) -> int:
    """Which of these versions a search finds."""
    found = {
        version
        for version in versions - {0}
        if (await searched(knowledge, FakeEmbeddings(), "anna", word(name, version), method="bm25")).hits
    }
    assert len(found) <= 1, f"{name} is there as {found}"
    return found.pop() if found else 0


@pytest.mark.timeout(240)
async def test_nothing_acknowledged_is_lost_and_nothing_deleted_comes_back(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.knowledge_worker", str(tmp_path), str(N_KILLS), "1"]
    done = subprocess.run(  # noqa: ASYNC221 -- nothing else runs
        command, check=False, capture_output=True, text=True, cwd=Path(__file__).parents[1]
    )
    assert done.returncode == 0, done.stderr
    states = acceptable(tmp_path)
    knowledge = made_knowledge(tmp_path)
    collection = (await knowledge.collections("anna"))[0]
    documents = {one.name: one for one in await knowledge.documents("anna", collection.id)}
    n_passages = 0
    for name, versions in states.items():
        there = await version_of(knowledge, name, versions)
        assert there in versions, f"{name}: {there} is there, not one of {versions}"
        assert (name in documents) == bool(there)
        if there:
            texts = paragraphs(name, there)
            n_passages += len(texts)
            assert documents[name].n_passages == len(texts)
            n_stored = await knowledge.n_vectors("anna", collection.id, documents[name].id)
            assert n_stored == len(texts)
            found = await searched(knowledge, FakeEmbeddings(), "anna", texts[0], method="dense")
            assert texts[0] in {hit.passage.text for hit in found.hits}
    knowledge._index.sweep(lease_s=0)  # as if a quarter of an hour had passed
    assert await knowledge.n_vectors("anna", collection.id) == n_passages
    knowledge.close()
    log = (tmp_path / "log").read_text()
    assert log.count('"ready"') == N_KILLS
    assert log.count('"done"') > N_KILLS
    assert collection.n_passages == n_passages


@pytest.mark.parametrize(
    ("files", "share"),
    [("*.parquet", 0.5), ("manifest*", 0.5), ("schema.json", 0.5), ("schema.json", None), ("*", 0.0)],
    ids=str,
)
async def test_damaged_files_of_vectors_are_made_again(
    tmp_path: Path, files: str, share: float | None
) -> None:
    """What a loss of power leaves: files cut short, or missing."""
    knowledge = made_knowledge(tmp_path)
    for name in ("a", "b"):
        await added(knowledge, FakeEmbeddings(), "anna", "Documents", name, [f"word{name} here", "there"])
    knowledge.close()
    damaged = [path for path in settings().home.glob(f"**/milvus/collections/**/{files}") if path.is_file()]
    assert damaged
    for path in damaged:
        if share is None:
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    knowledge = made_knowledge(tmp_path)
    collection = (await knowledge.collections("anna"))[0]
    assert await knowledge.n_vectors("anna", collection.id) == 4
    found = await searched(knowledge, FakeEmbeddings(), "anna", "wordb here", method="dense")
    assert found.hits[0].passage.text == "wordb here"
    knowledge.close()
