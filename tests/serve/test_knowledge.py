"""The knowledge stage on real Serve, over handles; killed in the middle of an ingest."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal

import pytest

from serve_apps.args import EmbeddingsArgs, RetrievalArgs
from serve_apps.clients import EmbeddingsClient, RerankerClient
from serve_apps.clients_knowledge import KnowledgeClient
from serve_apps.embeddings import EmbeddingsStage
from serve_apps.errors import EmbeddingMismatch, Forbidden, NotFound, StageUnavailable
from serve_apps.retrieval import Retriever
from serve_apps.wire import Vectors
from serve_apps.wire_knowledge import NewDocument, Page, Passage, Retrieval, Ticket
from tests.fake_clients import FakeEmbeddings
from tests.fake_engines.embeddings import HashedEmbeddings
from tests.knowledge import MODEL, added, searched
from tests.serve.conftest import Deploy

pytestmark = pytest.mark.asyncio(loop_scope="module")

EMBEDDINGS = FakeEmbeddings()
KNOWLEDGE = {
    "name": "knowledge",
    "route_prefix": None,
    "import_path": "serve_apps.one_call_knowledge:app",
    "args": {
        "embeddings": {"engine": "tests.fake_engines.embeddings:HashedEmbeddings", "model": ""},
        "reranker": {"engine": "tests.fake_engines.reranker:SharedWordsReranker", "model": ""},
    },
}


@pytest.fixture(scope="module")
def knowledge(deploy: Deploy) -> KnowledgeClient:
    deploy({"applications": [KNOWLEDGE]})
    return KnowledgeClient()


async def test_a_document_comes_and_goes(knowledge: KnowledgeClient) -> None:
    document = await added(knowledge, EMBEDDINGS, "anna", "Documents", "a", ["three frogs", "four newts"])
    hits = (await searched(knowledge, EMBEDDINGS, "anna", "three frogs")).hits
    assert (hits[0].document, hits[0].passage.text) == (document, "three frogs")
    assert len(await knowledge.vectors("anna", document.collection_id)) == 2
    assert (await knowledge.card()).engine == "milvus"
    assert (await knowledge.describe()).n_requests > 5
    assert (await knowledge.delete("anna", document.id)).n_remaining == 0
    assert (await searched(knowledge, EMBEDDINGS, "anna", "three frogs")).hits == ()


async def test_passages_are_found_in_one_call(knowledge: KnowledgeClient) -> None:
    encoder = EmbeddingsStage(EmbeddingsArgs(), HashedEmbeddings)
    texts = ["three frogs", "four newts and a frog"]
    await added(knowledge, encoder, "carl", "Pond", "a", texts, model="hashed words")
    # No other stage is deployed here: whoever asked one would be told so.
    retriever = Retriever(
        EmbeddingsClient(), knowledge, RerankerClient(), RetrievalArgs(in_one_call=True, min_score=0.1)
    )
    found = await retriever.rank("carl", "four newts", Retrieval())
    assert [(item.hit.passage.text, item.reranked) for item in found.hits] == [(texts[1], True)]
    assert [bar.name for bar in found.spans] == ["embed", "search", "rerank"]
    assert found.notes == ()
    with pytest.raises(NotFound):
        await retriever.rank("carl", "four newts", Retrieval(collections=("nowhere",)))


async def test_errors_keep_their_type(knowledge: KnowledgeClient) -> None:
    document = await added(knowledge, EMBEDDINGS, "anna", "Documents", "a", ["three frogs"])
    with pytest.raises(NotFound, match="no such document"):
        await knowledge.document("bert", document.id)
    await knowledge.change_collection("anna", document.collection_id, shared=True)
    with pytest.raises(Forbidden, match="anna"):
        await knowledge.delete("bert", document.id)
    new = NewDocument(name="b", kind="text", media_type="text/plain", sha256="0" * 64, size_bytes=1)
    with pytest.raises(EmbeddingMismatch, match="raydio reindex"):
        await knowledge.begin("anna", document.collection_id, new, "Other 7B", 8)


async def test_a_replica_killed_in_an_ingest_costs_nothing(knowledge: KnowledgeClient) -> None:
    """What was acknowledged is there, and the document under way is finished by the replica's successor."""
    kept = await added(knowledge, EMBEDDINGS, "anna", "Documents", "kept", ["acknowledged before"])
    new = NewDocument(
        name="long",
        kind="text",
        media_type="text/plain",
        sha256=hashlib.sha256(b"long").hexdigest(),
        size_bytes=4,
    )
    passages = [Passage(index=n, text=f"part {n} of it", page=1, start=0, end=9) for n in range(200)]
    vectors = await EMBEDDINGS.embed([passage.text for passage in passages])
    ticket = await knowledge.begin("anna", kept.collection_id, new, MODEL, 32)
    await knowledge.add_pages(ticket, [Page(number=1, text="page")], b"long")
    for start in range(0, 200, 20):
        some = slice(start, start + 20)
        call = asyncio.create_task(_patient(knowledge, ticket, passages[some], vectors[some]))
        if start in {60, 140}:
            os.kill((await knowledge.describe()).pid, signal.SIGKILL)
        await call
    document = await knowledge.commit(ticket)
    assert document.n_passages == 200
    assert await knowledge.n_vectors("anna", kept.collection_id, document.id) == 200
    found = await searched(knowledge, EMBEDDINGS, "anna", "acknowledged before")
    assert found.hits[0].document.id == kept.id
    assert (await searched(knowledge, EMBEDDINGS, "anna", "part 123 of it")).hits[0].passage.index == 123


async def _patient(
    knowledge: KnowledgeClient, ticket: Ticket, passages: list[Passage], vectors: Vectors
) -> None:
    """As an ingest does it: wait for a stage that restarts."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await knowledge.add_passages(ticket, passages, vectors)
            except StageUnavailable:
                await asyncio.sleep(0.2)
