"""The embeddings page's parts for collections, without a browser: columns, reasons, words, layouts, files."""

from __future__ import annotations

import asyncio
import csv
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from serve_apps.errors import InputError, NotFound, StageUnavailable
from serve_apps.knowledge import KnowledgeStage
from serve_apps.wire import Vectors
from serve_apps.wire_knowledge import Document, Filters, Hit, Passage
from tests.fake_clients import FakeEmbeddings, FakeReranker, fake_clients
from tests.knowledge import added, made_knowledge, searched
from ui import cluster_words, collection_files, collection_points, column_cards, search_columns
from ui.comparison import heat_of
from ui.evidence import evidence, sentences
from ui.library import Library, chosen
from ui.map_layout import Layout, Layouts
from ui.model_comparison import ModelColumn, agreement
from ui.search_columns import COLUMNS, Question, key_of, rankings
from ui.term_weights import CollectionWords, WordStatistics, spans, terms

FRUIT = "red apple pie\n\ngreen apple tree\n\nred cherry cake"
TOOLS = "steel hammer heavy\n\nsteel saw sharp\n\nsmall hammer for apple crates"


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[KnowledgeStage]:
    """Two documents of ada's in "Documents", one of bob's in his."""
    made = made_knowledge(tmp_path)
    fake = FakeEmbeddings()
    await added(made, fake, "ada", "Documents", "fruit.txt", [FRUIT], tags=("food",))
    await added(made, fake, "ada", "Documents", "tools.txt", [TOOLS])
    await added(made, fake, "bob", "Documents", "secret.txt", ["the red apple of bob"])
    yield made
    await asyncio.to_thread(made.close)


def ways(*keys: str) -> tuple[search_columns.Column, ...]:
    return tuple(COLUMNS[key] for key in keys)


# ---- columns ---------------------------------------------------------------------------------------


async def test_columns_are_what_the_searches_find_from_one_embedding(stage: KnowledgeStage) -> None:
    embeddings, reranker = FakeEmbeddings(), FakeReranker()
    clients = fake_clients(knowledge=stage, embeddings=embeddings, reranker=reranker)
    found = await rankings(clients, Question(user="ada", query="red apple", columns=ways(*COLUMNS)))
    assert [ranking.column.key for ranking in found] == list(COLUMNS)
    assert len(embeddings.requests) == len(reranker.requests) == 1
    for ranking in found:
        assert ranking.timings_ms["search"] > 0
        if not ranking.column.rerank:
            direct = await searched(stage, FakeEmbeddings(), "ada", "red apple", method=ranking.column.method)
            assert [key_of(entry.hit) for entry in ranking.entries] == [key_of(h) for h in direct.hits[:5]]
    assert found[1].entries[0].score == 1


async def test_words_alone_are_searched_without_a_vector(stage: KnowledgeStage) -> None:
    embeddings = FakeEmbeddings()
    clients = fake_clients(knowledge=stage, embeddings=embeddings)
    found = await rankings(clients, Question(user="ada", query="hammer", columns=ways("bm25")))
    assert len(found[0].entries) == 2
    assert embeddings.requests == []


async def test_a_column_that_cannot_answer_says_why_beside_those_that_can(stage: KnowledgeStage) -> None:
    embeddings, reranker = FakeEmbeddings(), FakeReranker()
    embeddings.down = StageUnavailable("embeddings", "It is away.", "Wait.")
    reranker.down = StageUnavailable("reranker", "It is away, too.", "Wait.")
    clients = fake_clients(knowledge=stage, embeddings=embeddings, reranker=reranker)
    asked = Question(user="ada", query="hammer", columns=ways("dense", "bm25", "bm25-rerank"))
    dense, words, reranked = await rankings(clients, asked)
    assert dense.error is embeddings.down
    assert words.entries
    assert reranked.error is reranker.down
    shown = column_cards.board([dense, words, reranked], {})
    assert "It is away." in shown
    with pytest.raises(StageUnavailable):
        await rankings(clients, Question(user="ada", query="hammer", columns=ways("dense")))


async def test_filters_are_values(stage: KnowledgeStage) -> None:
    clients = fake_clients(knowledge=stage)
    asked = Question(user="ada", query="apple", columns=ways("hybrid"), filters=Filters(tags=("food",)))
    assert {entry.hit.document.name for entry in (await rankings(clients, asked))[0].entries} == {"fruit.txt"}
    hostile = Filters(names=('" or 1 == 1 or name == "',))
    asked = Question(user="ada", query="apple", columns=ways("hybrid"), filters=hostile)
    assert (await rankings(clients, asked))[0].entries == ()


async def test_what_moved_between_columns(stage: KnowledgeStage) -> None:
    clients = fake_clients(knowledge=stage)
    asked = Question(user="ada", query="heavy apple", columns=ways("dense", "bm25"), k=2)
    left, right = await rankings(clients, asked)
    moved, gone = column_cards.moves(left, right)
    before = [key_of(entry.hit) for entry in left.entries]
    after = [key_of(entry.hit) for entry in right.entries]
    assert moved == {key: before.index(key) - i if key in before else None for i, key in enumerate(after)}
    assert [key_of(entry.hit) for entry, _ in gone] == [key for key in before if key not in after]


def test_the_link_to_chat_carries_the_settings() -> None:
    ranking = search_columns.Ranking(column=COLUMNS["hybrid-rerank"])
    link = column_cards.chat_link(ranking, ["c1", "c2"], 4, 0.3)
    assert link == (
        "../chat/?mode=documents_first&collections=c1,c2&method=hybrid&rerank=1&n_passages=4&min_score=0.3"
    )


# ---- why -------------------------------------------------------------------------------------------


async def test_the_words_add_up_to_the_stores_own_score(tmp_path: Path) -> None:
    stage = made_knowledge(tmp_path)
    await added(stage, FakeEmbeddings(), "ada", "Documents", "all.txt", [f"{FRUIT}\n\n{TOOLS}"])
    query = "red hammer cake"
    result = await searched(stage, FakeEmbeddings(), "ada", query, method="bm25")
    statistics = await CollectionWords(stage).of("ada", result.hits[0].document.collection_id)
    for hit in result.hits:
        found = terms(query, hit.passage.text, statistics)
        assert sum(term.weight or 0 for term in found) == pytest.approx(hit.bm25, rel=0.02)
        scaled = terms(query, hit.passage.text, statistics, 5.0)
        assert sum(term.weight or 0 for term in scaled) == pytest.approx(5)
    await asyncio.to_thread(stage.close)


def test_common_words_do_not_count() -> None:
    statistics = WordStatistics(100, 5.0, Counter({"the": 90, "apple": 40, "quince": 2}))
    weights = {term.word: term.weight for term in terms("the apple quince", "the apple quince", statistics)}
    assert weights["quince"]
    assert weights["the"] is weights["apple"] is None
    assert {term.weight for term in terms("the apple", "the apple", None)} == {None}


async def test_counts_are_made_again_only_for_other_documents(stage: KnowledgeStage) -> None:
    counted = CollectionWords(stage)
    collection = (await stage.collections("ada"))[0]
    first = await counted.of("ada", collection.id)
    assert await counted.of("ada", collection.id) is first
    await added(stage, FakeEmbeddings(), "ada", "Documents", "more.txt", ["another apple"])
    again = await counted.of("ada", collection.id)
    assert again is not None
    assert again.n_passages == 7
    with pytest.raises(NotFound):
        await counted.of("bob", collection.id)


async def test_evidence_says_ranks_words_and_the_best_sentence(stage: KnowledgeStage) -> None:
    clients = fake_clients(knowledge=stage)
    hit = (await searched(stage, FakeEmbeddings(), "ada", "red apple")).hits[0]
    asked = {"query": "red apple", "document": hit.document.id, "index": hit.passage.index}
    known = await evidence(clients, CollectionWords(stage), asked, "ada")
    assert known.hit is not None
    assert (known.hit.dense_rank, known.hit.bm25_rank) == (1, 1)
    assert known.best == (hit.passage.text, 1.0)
    assert [passage.index for passage in known.around] == [0, 1]
    for user, sent in (
        ("bob", asked),
        ("ada", {"document": 1}),
        ("ada", None),
        ("ada", {**asked, "index": 9}),
    ):
        with pytest.raises(NotFound):
            await evidence(clients, CollectionWords(stage), sent, user)


def test_sentences_and_marks() -> None:
    assert sentences("One line\nbroken in two. Another!\n\n- item\n***\n") == [
        "One line broken in two.",
        "Another!",
        "- item",
    ]
    assert list(spans("Apple, apples and APPLE", ["apple"])) == [(0, 5), (18, 23)]


# ---- the map ---------------------------------------------------------------------------------------


def blobs(n: int = 90) -> Vectors:
    random = np.random.default_rng(1)
    centres = random.standard_normal((3, 32))
    vectors = centres[np.arange(n) % 3] + 0.2 * random.standard_normal((n, 32))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


async def laid_out(layouts: Layouts, vectors: Vectors) -> tuple[list[float], Layout]:
    steps = [step async for step in layouts.of(vectors)]
    assert isinstance(steps[-1], Layout)
    return [step for step in steps if isinstance(step, float)], steps[-1]


async def test_a_layout_keeps_groups_together_is_deterministic_and_made_once() -> None:
    layouts = Layouts()
    shares, layout = await laid_out(layouts, blobs())
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert [len({int(label) for label in layout.labels[i::3]}) for i in range(3)] == [1, 1, 1]
    assert len(set(layout.labels.tolist())) == 3
    _, again = await laid_out(Layouts(), blobs())
    assert np.array_equal(layout.xy, again.xy)
    assert await laid_out(layouts, blobs()) == ([], layout)


async def test_of_many_passages_every_nth_is_a_point(
    stage: KnowledgeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection_points, "MOST_POINTS", 3)
    monkeypatch.setattr(collection_points, "PAGE", 1)
    steps = [step async for step in collection_points.load(stage, "ada", await chosen(stage, "ada", []))]
    points = steps[-1]
    assert isinstance(points, collection_points.Points)
    assert points.texts == ["red apple pie", "red cherry cake", "steel saw sharp"]
    assert (points.n_passages, points.indices, points.of) == (6, [0, 2, 1], [0, 0, 1])
    assert points.vectors.shape == (3, 32)


async def test_a_map_that_nobody_waits_for_ends_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    random = np.random.default_rng(1).standard_normal((2000, 32)).astype(np.float32)
    async with aclosing(Layouts().of(random)) as steps:
        assert await anext(steps) < 1
    assert list(tmp_path.iterdir()) == []


def test_the_page_never_holds_what_lays_maps_out() -> None:
    code = "import sys, ui.embeddings; sys.exit('sklearn' in sys.modules)"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, cwd=Path(__file__).parent.parent)


def test_clusters_are_named_by_what_sets_them_apart() -> None:
    texts = [
        "the oil of the engine",
        "the engine and its oil",
        "the rain on the hill",
        "rain over the sea",
    ] * 3
    names = cluster_words.cluster_words([*texts, "the nothing"], [0, 0, 1, 1] * 3 + [-1])
    assert set(names) == {0, 1}
    assert {"oil", "engine"} <= set(names[0].split(", "))
    assert "rain" in names[1]
    assert "the" not in names[0].split(", ")


# ---- comparing -------------------------------------------------------------------------------------


async def test_chosen_passages_have_a_heat_map() -> None:
    heat = await heat_of(FakeEmbeddings(), ["red apple", "red apple", "steel\n hammer " + "x" * 500])
    assert heat["cosines"][1] == 1000
    assert len(heat["lines"][2]) < 130


def test_two_models_agree_or_not() -> None:
    def ranking(order: list[int]) -> search_columns.Ranking:
        return search_columns.Ranking(
            column=ModelColumn(method="dense", title="m"), entries=tuple(entry(i) for i in order)
        )

    assert ">1.00<" in agreement(ranking([0, 1, 2, 3]), ranking([0, 1, 2, 3]), 2)
    opposite = agreement(ranking([0, 1, 2, 3]), ranking([3, 2, 1, 0]), 2)
    assert ">-1.00<" in opposite
    assert 'data-overlap="0"' in opposite


def entry(index: int) -> search_columns.Entry:
    document = Document(
        id="d",
        collection_id="c",
        name="d.txt",
        kind="text",
        media_type="text/plain",
        sha256="",
        size_bytes=1,
        n_pages=1,
        n_passages=9,
        added_s=0,
    )
    passage = Passage(index=index, text=f"passage {index}", page=1, start=0, end=9)
    return search_columns.Entry(hit=Hit(passage=passage, document=document, score=0.5), score=0.5)


# ---- files -----------------------------------------------------------------------------------------


async def written(stage: KnowledgeStage, choice: str) -> Path:
    collections = await chosen(stage, "ada", [])
    steps = [step async for step in collection_files.write_collections(stage, "ada", collections, choice)]
    assert isinstance(steps[-1], Path)
    return steps[-1]


async def test_files_hold_what_the_store_holds(
    stage: KnowledgeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection_files, "PAGE", 2)
    collection = (await stage.collections("ada"))[0]
    stored = await stage.vectors("ada", collection.id)
    table = parquet.read_table(await written(stage, "Passages and vectors, Parquet")).to_pylist()
    assert [(row["document"], row["index"], row["text"]) for row in table] == [
        (item.document_name, item.passage.index, item.passage.text) for item in stored
    ]
    assert np.array_equal(np.array([row["vector"] for row in table], np.float32), [s.vector for s in stored])
    for choice in ("Passages and vectors, CSV", "Passages, CSV"):
        with (await written(stage, choice)).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["text"] for row in rows] == [item.passage.text for item in stored]
        assert ("v31" in rows[0]) == ("vectors" in choice)
        if "vectors" in choice:
            numbers = np.array([[row[f"v{i}"] for i in range(32)] for row in rows], np.float32)
            assert np.array_equal(numbers, [item.vector for item in stored])


async def test_results_are_written_column_by_column(stage: KnowledgeStage) -> None:
    found = await rankings(fake_clients(knowledge=stage), Question(user="ada", query="red apple"))
    path = collection_files.write_results(found, "red apple", "Results, Parquet")
    rows = parquet.read_table(path).to_pylist()
    assert [(row["column"], row["rank"]) for row in rows] == [
        (ranking.column.key, rank) for ranking in found for rank in range(1, len(ranking.entries) + 1)
    ]


# ---- whose ----------------------------------------------------------------------------------------


async def test_nobody_chooses_another_users_collection(stage: KnowledgeStage) -> None:
    of_ada = (await stage.collections("ada"))[0].id
    with pytest.raises(NotFound):
        await chosen(stage, "bob", [of_ada])
    contents = await Library(fake_clients(knowledge=stage)).contents("bob", None)
    assert [document.name for document in contents.documents] == ["secret.txt"]
    with pytest.raises(InputError):
        await rankings(
            fake_clients(knowledge=stage), Question(user="bob", query="apple", collections=(of_ada,))
        )
