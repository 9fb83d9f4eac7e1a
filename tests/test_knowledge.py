"""The knowledge stage in this process: the same tests over Milvus Lite and over a Milvus server."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serve_apps.args import KnowledgeArgs
from serve_apps.catalogue import originals
from serve_apps.contracts_knowledge import SearchRequest
from serve_apps.database import opened
from serve_apps.errors import EmbeddingMismatch, InputError, NotFound, StageBusy, StageUnavailable
from serve_apps.knowledge import KnowledgeStage
from serve_apps.settings import settings
from serve_apps.wire_knowledge import NewDocument, Page, Passage, SearchMethod
from tests.databases import fresh
from tests.fake_clients import FakeEmbeddings
from tests.knowledge import MODEL, added, made_knowledge, searched
from tests.milvus_server import MilvusServer, server

__all__ = ["server"]

EMBEDDINGS = FakeEmbeddings()
HOUSE = ["The office opens at nine.\n\nLunch is at noon.", "The garden has a pond with three frogs."]


@pytest.fixture(params=["sqlite+embedded", "sqlite+server", "postgresql+server"])
def knowledge(
    request: pytest.FixtureRequest, tmp_path: Path, server: MilvusServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[KnowledgeStage]:
    kind, _, where = request.param.partition("+")
    if where == "server":
        monkeypatch.setenv("MILVUS_URI", server.uri)
        settings.cache_clear()
    with fresh(kind, tmp_path) as url:
        database = opened(url)
        made = KnowledgeStage(KnowledgeArgs(), database=database)
        yield made
        made.close()
        database.dispose()


def new_document(name: str, data: bytes = b"x") -> NewDocument:
    return NewDocument(
        name=name,
        kind="text",
        media_type="text/plain",
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
    )


async def first(knowledge: KnowledgeStage, user: str = "anna") -> str:
    return (await knowledge.collections(user))[0].id


async def texts_found(knowledge: KnowledgeStage, query: str, **options: object) -> list[str]:
    result = await searched(knowledge, EMBEDDINGS, "anna", query, **options)  # type: ignore[arg-type]
    return [hit.passage.text for hit in result.hits]


@pytest.mark.parametrize("method", ["hybrid", "dense", "bm25"])
async def test_what_was_added_is_found_and_what_was_deleted_is_not(
    knowledge: KnowledgeStage, method: SearchMethod
) -> None:
    document = await added(knowledge, EMBEDDINGS, "anna", "Documents", "house.txt", HOUSE, tags=("home",))
    assert (document.n_pages, document.n_passages, document.tags) == (2, 3, ("home",))
    found = await searched(knowledge, EMBEDDINGS, "anna", "frogs in the pond", method=method)
    assert found.hits[0].passage == Passage(index=2, text=HOUSE[1], page=2, start=0, end=len(HOUSE[1]))
    assert found.hits[0].document == document
    assert await knowledge.n_vectors("anna", document.collection_id) == 3
    assert found.timings.total_ms >= max(found.timings.dense_ms, found.timings.bm25_ms)

    deleted = await knowledge.delete("anna", document.id)
    assert (deleted.n_documents, deleted.n_passages, deleted.n_remaining) == (1, 3, 0)
    assert await texts_found(knowledge, "frogs in the pond", method=method) == []
    assert await knowledge.n_vectors("anna", document.collection_id) == 0
    for gone in (
        knowledge.document("anna", document.id),
        knowledge.page("anna", document.id, 1),
        knowledge.original("anna", document.id),
        knowledge.neighbours("anna", document.id, 1),
        knowledge.delete("anna", document.id),
    ):
        with pytest.raises(NotFound):
            await gone


async def test_hits_say_why_they_were_found(knowledge: KnowledgeStage) -> None:
    await added(knowledge, EMBEDDINGS, "anna", "Documents", "house.txt", HOUSE)
    hybrid = (await searched(knowledge, EMBEDDINGS, "anna", "lunch at noon")).hits
    best = hybrid[0]
    assert (best.dense_rank, best.bm25_rank) == (1, 1)
    vectors = await EMBEDDINGS.embed(["lunch at noon", "Lunch is at noon."])
    assert best.cosine == pytest.approx(float(vectors[0] @ vectors[1]), abs=2e-3)
    assert best.bm25 is not None
    assert best.bm25 > 0
    assert best.score > best.cosine
    assert [hit.score for hit in hybrid] == sorted((hit.score for hit in hybrid), reverse=True)
    words = (await searched(knowledge, EMBEDDINGS, "anna", "lunch at noon", method="bm25")).hits[0]
    assert (words.score, words.dense_rank) == (words.bm25, None)
    assert words.cosine == pytest.approx(best.cosine, abs=2e-3)
    dense = (await searched(knowledge, EMBEDDINGS, "anna", "lunch at noon", method="dense")).hits[0]
    assert (dense.score, dense.bm25, dense.bm25_rank) == (dense.cosine, None, None)


async def test_nothing_is_found_before_the_commit_and_nothing_stays_of_what_was_abandoned(
    knowledge: KnowledgeStage,
) -> None:
    collection_id = await first(knowledge)
    ticket = await knowledge.begin("anna", collection_id, new_document("a"), MODEL, 32)
    passage = Passage(index=0, text="half done", page=1, start=0, end=9)
    vectors = await EMBEDDINGS.embed([passage.text])
    await knowledge.add_pages(ticket, [Page(number=1, text="half done")], b"x")
    await knowledge.add_passages(ticket, [passage], vectors)
    assert await texts_found(knowledge, "half done") == []
    assert await knowledge.documents("anna", collection_id) == []
    await knowledge.abandon(ticket)
    assert await knowledge.n_vectors("anna", collection_id) == 0
    for late in (
        knowledge.add_pages(ticket, [], None),
        knowledge.add_passages(ticket, [passage], vectors),
        knowledge.commit(ticket),
    ):
        with pytest.raises(NotFound, match="not being added"):
            await late
    await knowledge.abandon(ticket)


async def test_the_same_name_replaces_and_the_same_bytes_change_nothing(knowledge: KnowledgeStage) -> None:
    old = await added(knowledge, EMBEDDINGS, "anna", "Documents", "plan", ["The party is on Monday."])
    again = await added(knowledge, EMBEDDINGS, "anna", "Documents", "plan", ["The party is on Monday."])
    assert again.id == old.id
    new = await added(knowledge, EMBEDDINGS, "anna", "Documents", "plan", ["The party is on Friday."])
    assert new.id != old.id
    assert await texts_found(knowledge, "party") == ["The party is on Friday."]
    assert [one.id for one in await knowledge.documents("anna", new.collection_id)] == [new.id]
    assert await knowledge.n_vectors("anna", new.collection_id) == 1
    collection = (await knowledge.collections("anna"))[0]
    assert (collection.n_documents, collection.n_passages) == (1, 1)
    assert (collection.embedding_model, collection.dimensions) == (MODEL, 32)


async def test_every_call_of_adding_can_be_repeated(knowledge: KnowledgeStage) -> None:
    """A client repeats a call whose replica died, and cannot know whether it was done."""
    ticket = await knowledge.begin("anna", await first(knowledge), new_document("a", b"twice"), MODEL, 32)
    passages = [Passage(index=n, text=f"number {n}", page=1, start=0, end=8) for n in range(3)]
    vectors = await EMBEDDINGS.embed([passage.text for passage in passages])
    for _ in range(2):
        await knowledge.add_pages(ticket, [Page(number=1, text="page")], b"twice")
        await knowledge.add_passages(ticket, passages, vectors)
    committed = [await knowledge.commit(ticket) for _ in range(2)]
    assert committed[0] == committed[1]
    assert (committed[0].n_pages, committed[0].n_passages) == (1, 3)
    assert await knowledge.n_vectors("anna", committed[0].collection_id) == 3
    assert len(await texts_found(knowledge, "number")) == 3


async def test_a_file_is_kept_in_pieces_and_read_from_anywhere(
    knowledge: KnowledgeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(originals, "PIECE_BYTES", 10)
    document = await added(knowledge, EMBEDDINGS, "anna", "Documents", "house.txt", HOUSE)
    file = "\f".join(HOUSE).encode()
    assert await knowledge.original("anna", document.id) == file
    for start, n_bytes in ((0, 1), (3, 5), (9, 2), (10, 10), (15, 999), (len(file) - 1, 1), (999, 5)):
        part = await knowledge.original("anna", document.id, start, n_bytes)
        assert part == file[start : start + n_bytes]
    assert await knowledge.original("anna", document.id, 12) == file[12:]
    again = await added(knowledge, EMBEDDINGS, "anna", "Documents", "again.txt", HOUSE)
    await knowledge.delete("anna", document.id)
    assert await knowledge.original("anna", again.id) == file


async def test_pages_neighbours_and_the_file_are_there_to_read(knowledge: KnowledgeStage) -> None:
    document = await added(knowledge, EMBEDDINGS, "anna", "Documents", "house.txt", HOUSE)
    assert await knowledge.page("anna", document.id, 2) == Page(number=2, text=HOUSE[1])
    with pytest.raises(NotFound, match="no page 3"):
        await knowledge.page("anna", document.id, 3)
    assert await knowledge.original("anna", document.id) == "\f".join(HOUSE).encode()
    around = await knowledge.neighbours("anna", document.id, 1)
    assert [passage.index for passage in around] == [0, 1, 2]
    assert [p.index for p in await knowledge.neighbours("anna", document.id, 2, 0, 5)] == [2]
    assert [p.index for p in await knowledge.neighbours("anna", document.id, 0, 3, 0)] == [0]


async def test_a_file_is_kept_once_and_goes_with_its_last_document(knowledge: KnowledgeStage) -> None:
    first_one = await added(knowledge, EMBEDDINGS, "anna", "Documents", "a", HOUSE)
    second = await added(knowledge, EMBEDDINGS, "bert", "Documents", "b", HOUSE)
    await knowledge.delete("anna", first_one.id)
    assert await knowledge.original("bert", second.id)
    await knowledge.delete("bert", second.id)
    third = await knowledge.begin("carl", await first(knowledge, "carl"), new_document("c"), MODEL, 32)
    assert (await knowledge.commit(third)).n_passages == 0
    with pytest.raises(NotFound, match="was not kept"):
        await knowledge.original("carl", third.document_id)


async def test_a_false_hash_opens_nobody_elses_file(knowledge: KnowledgeStage) -> None:
    await added(knowledge, EMBEDDINGS, "anna", "Documents", "secret", ["The treasure is under the oak."])
    claimed = new_document("guess", b"The treasure is under the oak.")
    ticket = await knowledge.begin("bert", await first(knowledge, "bert"), claimed, MODEL, 32)
    with pytest.raises(InputError, match="not the one that was announced"):
        await knowledge.add_pages(ticket, [], b"something else")
    await knowledge.commit(ticket)
    with pytest.raises(NotFound):
        await knowledge.original("bert", ticket.document_id)


async def test_another_embedding_model_is_refused_with_a_way_out(knowledge: KnowledgeStage) -> None:
    document = await added(knowledge, EMBEDDINGS, "anna", "Documents", "house.txt", HOUSE)
    for model, dimensions in (("Other 7B", 32), (MODEL, 64)):
        with pytest.raises(EmbeddingMismatch, match="raydio reindex") as refused:
            await knowledge.begin("anna", document.collection_id, new_document("b"), model, dimensions)
        assert MODEL in refused.value.message
    request = SearchRequest(
        user="anna", query="frogs", vector=np.ones(64, np.float32) / 8, embedding_model="Other 7B"
    )
    with pytest.raises(EmbeddingMismatch, match="Other 7B"):
        await knowledge.search(request)
    assert (await knowledge.search(replace(request, method="bm25", vector=None))).hits
    await knowledge.delete("anna", document.id)
    ticket = await knowledge.begin("anna", document.collection_id, new_document("b"), "Other 7B", 64)
    await knowledge.abandon(ticket)


async def test_a_collection_of_another_model_is_left_out_of_all_and_said(knowledge: KnowledgeStage) -> None:
    old = await knowledge.create_collection("anna", "Old")
    ticket = await knowledge.begin("anna", old.id, new_document("b"), "Other 7B", 8)
    passage = Passage(index=0, text="a frog of old", page=1, start=0, end=13)
    await knowledge.add_pages(ticket, [Page(number=1, text="a frog of old")])
    await knowledge.add_passages(ticket, [passage], np.eye(8, dtype=np.float32)[:1])
    await knowledge.commit(ticket)
    await added(knowledge, EMBEDDINGS, "anna", "Documents", "house.txt", HOUSE)
    found = await searched(knowledge, EMBEDDINGS, "anna", "frog")
    assert found.hits
    assert {hit.document.name for hit in found.hits} == {"house.txt"}
    assert found.left_out == ("Old",)
    with pytest.raises(EmbeddingMismatch, match="Old"):
        await searched(knowledge, EMBEDDINGS, "anna", "frog", collections=(old.id,))
    assert (await searched(knowledge, EMBEDDINGS, "anna", "frog", method="bm25")).left_out == ()


async def test_a_collection_is_indexed_again_with_another_model(knowledge: KnowledgeStage) -> None:
    pages = ["\n\n".join(f"number {n} of many" for n in range(25))]
    document = await added(knowledge, EMBEDDINGS, "anna", "Documents", "many", pages)
    await added(knowledge, EMBEDDINGS, "anna", "Documents", "house", HOUSE)
    reindex = await knowledge.begin_reindex("anna", document.collection_id, "Other 7B", 8)
    everything: list[tuple[str, Passage]] = []
    while batch := await knowledge.passages("anna", document.collection_id, limit=10, offset=len(everything)):
        everything += batch
        vectors = np.stack([np.eye(8, dtype=np.float32)[one.index % 8] for _, one in batch])
        for _ in range(2):
            await knowledge.add_reindexed(reindex, batch, vectors)
        assert await texts_found(knowledge, "number 3")  # the old one answers meanwhile
    collection = await knowledge.finish_reindex(reindex)
    assert (collection.embedding_model, collection.dimensions) == ("Other 7B", 8)
    assert len(everything) == collection.n_passages == 28
    assert await knowledge.n_vectors("anna", collection.id) == 28
    vector = np.eye(8, dtype=np.float32)[5]
    request = SearchRequest(
        user="anna", query="", vector=vector, embedding_model="Other 7B", method="dense", limit=3
    )
    assert {hit.passage.index for hit in (await knowledge.search(request)).hits} == {5, 13, 21}
    assert knowledge._store.names() >= {knowledge._catalogue.stored("anna", collection.id, None)[0]}
    with pytest.raises(EmbeddingMismatch):
        await searched(knowledge, EMBEDDINGS, "anna", "number")


async def test_a_re_index_that_misses_something_changes_nothing(knowledge: KnowledgeStage) -> None:
    document = await added(knowledge, EMBEDDINGS, "anna", "Documents", "house", HOUSE)
    given_up = await knowledge.begin_reindex("anna", document.collection_id, "Other 7B", 8)
    reindex = await knowledge.begin_reindex("anna", document.collection_id, "Other 7B", 8)
    passages = await knowledge.passages("anna", document.collection_id)
    await knowledge.add_reindexed(reindex, passages[:2], np.eye(8, dtype=np.float32)[:2])
    with pytest.raises(InputError, match="1 passages have no new vector"):
        await knowledge.finish_reindex(reindex)
    assert await texts_found(knowledge, "frogs")
    await knowledge.delete("anna", document.id)
    await knowledge.add_reindexed(reindex, passages[2:], np.eye(8, dtype=np.float32)[:1])
    assert (await knowledge.finish_reindex(reindex)).n_passages == 0
    with pytest.raises(NotFound, match="Index the collection again"):
        await knowledge.add_reindexed(given_up, passages, np.eye(8, dtype=np.float32)[:3])


async def test_vectors_come_with_their_passages(knowledge: KnowledgeStage) -> None:
    document = await added(knowledge, EMBEDDINGS, "anna", "Documents", "house", HOUSE)
    found = await knowledge.vectors("anna", document.collection_id)
    assert [one.passage.index for one in found] == [0, 1, 2]
    expected = await EMBEDDINGS.embed([one.passage.text for one in found])
    assert np.stack([one.vector for one in found]) == pytest.approx(expected, abs=1e-3)
    assert {one.document_name for one in found} == {"house"}
    assert len(await knowledge.vectors("anna", document.collection_id, limit=1, offset=2)) == 1
    assert await knowledge.vectors("anna", document.collection_id, offset=3) == []


async def test_a_store_that_lost_everything_is_filled_from_the_catalogue(
    tmp_path: Path, raydio_home: Path
) -> None:
    knowledge = made_knowledge(tmp_path)
    document = await added(knowledge, EMBEDDINGS, "anna", "Documents", "house", HOUSE)
    knowledge.close()
    shutil.rmtree(raydio_home / "knowledge")
    knowledge = made_knowledge(tmp_path)
    assert await knowledge.n_vectors("anna", document.collection_id) == 3
    assert (await texts_found(knowledge, "three frogs", method="dense"))[0] == HOUSE[1]
    knowledge.close()


async def test_a_collection_moves_to_a_server_by_its_address(
    tmp_path: Path, server: MilvusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    knowledge = made_knowledge(tmp_path)
    document = await added(knowledge, EMBEDDINGS, "anna", "Documents", "house", HOUSE)
    knowledge.close()
    monkeypatch.setenv("MILVUS_URI", server.uri)
    settings.cache_clear()
    knowledge = made_knowledge(tmp_path)
    assert await knowledge.n_vectors("anna", document.collection_id) == 3
    assert (await texts_found(knowledge, "three frogs", method="dense"))[0] == HOUSE[1]
    knowledge.close()


async def test_a_server_that_goes_away_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MilvusServer(tmp_path / "away") as away:
        monkeypatch.setenv("MILVUS_URI", away.uri)
        monkeypatch.setattr("serve_apps.engines.milvus.CALL_TIMEOUT_S", 1.0)
        settings.cache_clear()
        knowledge = made_knowledge(tmp_path)
        collection_id = await first(knowledge)  # the catalogue answers without the store
        with pytest.raises(StageUnavailable, match="MILVUS_URI"):
            await knowledge.begin("anna", collection_id, new_document("a"), MODEL, 32)
        away.start()
        document = await added(knowledge, EMBEDDINGS, "anna", "Documents", "house", HOUSE)
        await added(knowledge, EMBEDDINGS, "anna", "Documents", "other", ["a frog"])
        away.stop()
        with pytest.raises(StageUnavailable, match="MILVUS_URI"):
            await texts_found(knowledge, "frog")
        assert await texts_found(knowledge, "frogs", method="bm25") == [HOUSE[1]]
        assert await knowledge.page("anna", document.id, 2)
        with pytest.raises(StageUnavailable, match="MILVUS_URI"):
            await knowledge.delete("anna", document.id)
        assert await texts_found(knowledge, "frogs", method="bm25") == []
        away.start()
        assert await texts_found(knowledge, "frog") == ["a frog"]
        assert await knowledge.n_vectors("anna", collection_id) == 4
        knowledge._index.sweep()
        assert await knowledge.n_vectors("anna", collection_id) == 1
        knowledge.close()


async def test_what_nobody_comes_back_for_is_swept_up(knowledge: KnowledgeStage) -> None:
    collection_id = await first(knowledge)
    ticket = await knowledge.begin("anna", collection_id, new_document("a"), MODEL, 32)
    passage = Passage(index=0, text="left", page=1, start=0, end=4)
    await knowledge.add_passages(ticket, [passage], await EMBEDDINGS.embed(["left"]))
    knowledge._index.sweep()
    assert await knowledge.n_vectors("anna", collection_id) == 1
    knowledge._index.sweep(lease_s=0)
    assert await knowledge.n_vectors("anna", collection_id) == 0
    with pytest.raises(NotFound):
        await knowledge.commit(ticket)


async def test_what_was_deleted_is_in_no_file_any_more(tmp_path: Path) -> None:
    knowledge = made_knowledge(tmp_path)
    await added(knowledge, EMBEDDINGS, "anna", "Documents", "kept", ["nothing to hide"])
    secret = await added(knowledge, EMBEDDINGS, "anna", "Documents", "xylotitle", ["the xylocode is 4711"])
    assert _files_with(tmp_path, b"xylo")
    await knowledge.delete("anna", secret.id)
    knowledge._index.scrub()
    assert _files_with(tmp_path, b"xylo") == []
    assert await texts_found(knowledge, "nothing to hide") == ["nothing to hide"]
    knowledge.close()


def _files_with(folder: Path, text: bytes) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text in path.read_bytes()]


async def test_many_add_and_search_at_once(knowledge: KnowledgeStage) -> None:
    collection_id = await first(knowledge)

    async def add(number: int) -> None:
        await added(knowledge, EMBEDDINGS, "anna", collection_id, f"d{number % 6}", [f"unique{number} text"])

    async def search() -> None:
        for hit in (await searched(knowledge, EMBEDDINGS, "anna", "text")).hits:
            assert hit.passage.text.endswith("text")

    await asyncio.gather(*(add(number) for number in range(12)), *(search() for _ in range(12)))
    documents = await knowledge.documents("anna", collection_id)
    assert [one.name for one in documents] == [f"d{number}" for number in range(6)]
    assert await knowledge.n_vectors("anna", collection_id) == 6


async def test_more_than_may_wait_are_shed(tmp_path: Path) -> None:
    from sqlalchemy.engine import URL  # noqa: PLC0415

    where = opened(URL.create("sqlite", database=str(tmp_path / "k.db")))
    knowledge = KnowledgeStage(KnowledgeArgs(max_waiting=2), database=where)
    gate = threading.Event()
    blocked = asyncio.create_task(knowledge._threads.in_turn(gate.wait))
    waiting = [asyncio.create_task(knowledge._threads.in_turn(lambda: None)) for _ in range(9)]
    results = await asyncio.gather(*waiting[5:], return_exceptions=True)
    assert all(isinstance(result, StageBusy) and result.retry_after_s for result in results)
    gate.set()
    await asyncio.gather(blocked, *waiting[:5])
    report = await knowledge.describe()
    assert (report.card.engine, report.n_running) == ("milvus", 0)
    await knowledge.check_health()
    knowledge.close()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"limit": 0}, "1 to 1,000"),
        ({"limit": 1001}, "1 to 1,000"),
        ({"vector": None}, "needs the query's vector"),
        ({"vector": np.ones((2, 32), np.float32)}, "needs the query's vector"),
        ({"vector": np.full(32, np.nan, np.float32)}, "needs the query's vector"),
        ({"vector": np.ones(31, np.float32)}, "31"),
        ({"method": "magic"}, "no search 'magic'"),
        ({"collections": ("nonsense",)}, "no such collection"),
    ],
)
async def test_bad_searches_are_clear_errors(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    knowledge = made_knowledge(tmp_path)
    await added(knowledge, EMBEDDINGS, "anna", "Documents", "house", HOUSE)
    vector = (await EMBEDDINGS.embed(["x"]))[0]
    request = SearchRequest(user="anna", query="x", vector=vector, embedding_model=MODEL)
    with pytest.raises(InputError, match=message):
        await knowledge.search(replace(request, **changes))  # type: ignore[arg-type]
    knowledge.close()


@pytest.mark.parametrize(
    "query",
    [
        "",
        "   ",
        "?!",
        '"',
        "' OR 1=1 --",
        "NEAR(a b)",
        "a AND",
        "text:*",
        "猫 🦊 שלום",
        "x" * 100_000,
        "a " * 5000,
    ],
)
async def test_any_query_is_searched_without_harm(tmp_path: Path, query: str) -> None:
    knowledge = made_knowledge(tmp_path)
    await added(knowledge, EMBEDDINGS, "anna", "Documents", "house", HOUSE)
    for method in ("hybrid", "bm25"):
        result = await searched(knowledge, EMBEDDINGS, "anna", query, method=method)  # type: ignore[arg-type]
        assert len(result.hits) <= 3
    knowledge.close()
