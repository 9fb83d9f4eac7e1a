"""The knowledge stage in this process, over SQLite and Milvus Lite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from serve_apps.errors import NotFound
from serve_apps.knowledge import KnowledgeStage
from tests.fake_clients import FakeEmbeddings
from tests.knowledge import added, made_knowledge, searched

EMBEDDINGS = FakeEmbeddings()


@pytest.fixture
def knowledge(tmp_path: Path) -> Iterator[KnowledgeStage]:
    made = made_knowledge(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("method", ["hybrid", "dense", "bm25"])
async def test_what_was_added_is_found_and_what_was_deleted_is_not(
    knowledge: KnowledgeStage, method: str
) -> None:
    pages = ["The office opens at nine.\n\nLunch is at noon.", "The garden has a pond with three frogs."]
    document = await added(knowledge, EMBEDDINGS, "anna", "Documents", "house.txt", pages)
    assert (document.n_pages, document.n_passages) == (2, 3)
    found = await searched(knowledge, EMBEDDINGS, "anna", "frogs in the pond", method=method)
    assert found.hits[0].passage.text.startswith("The garden")
    assert found.hits[0].passage.page == 2
    assert found.hits[0].document == document
    assert found.hits[0].cosine == pytest.approx(found.hits[0].cosine, abs=1e-3)
    collection_id = document.collection_id
    assert await knowledge.n_vectors("anna", collection_id) == 3

    deleted = await knowledge.delete("anna", document.id)
    assert (deleted.n_documents, deleted.n_passages, deleted.n_remaining) == (1, 3, 0)
    assert not (await searched(knowledge, EMBEDDINGS, "anna", "frogs in the pond", method=method)).hits
    assert await knowledge.n_vectors("anna", collection_id) == 0
    with pytest.raises(NotFound):
        await knowledge.page("anna", document.id, 1)
