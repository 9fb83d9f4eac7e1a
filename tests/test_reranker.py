"""The reranker stage over a deterministic engine, and best-sentence cosine on the real one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from serve_apps.args import EmbeddingsArgs, RerankerArgs
from serve_apps.engines.ctranslate2_embeddings import CTranslate2Embeddings
from serve_apps.engines.sentence_cosine import LONGEST_CHARACTERS, SentenceCosineReranker, sentences
from serve_apps.engines.sentence_vectors import SentenceVectors
from serve_apps.errors import EmptyInput, StageBusy, StageFailed, TextTooLong
from serve_apps.reranker import CHUNK_PASSAGES, STUCK_S, RerankerStage
from serve_apps.wire import QueryVector, Vectors
from tests.fake_engines.reranker import SharedWordsReranker


class GatedReranker(SharedWordsReranker):
    """Stops before each chunk until `gate` lets it through."""

    def __init__(self, args: RerankerArgs) -> None:
        super().__init__(args)
        self.gate = threading.Semaphore(0)
        self.entered = threading.Semaphore(0)
        self.queries: list[str] = []

    def score(self, query: str, passages: Sequence[str], vector: QueryVector | None = None) -> list[float]:
        self.queries.append(query)
        self.entered.release()
        assert self.gate.acquire(timeout=20)
        return super().score(query, passages, vector)


class BrokenReranker(SharedWordsReranker):
    def score(self, *asked: Any) -> list[float]:  # noqa: ARG002
        raise RuntimeError("out of memory")


def make(engine: type[SharedWordsReranker], **args: Any) -> tuple[RerankerStage, Any]:
    stage = RerankerStage(RerankerArgs(**args), engine)
    return stage, stage._engine


async def entered(engine: GatedReranker) -> None:
    assert await asyncio.to_thread(engine.entered.acquire, timeout=20)


async def test_best_first_and_of_equals_the_earlier() -> None:
    stage, _ = make(SharedWordsReranker)
    passages = ["nothing", "a red fox", "red", "the red fox ran", "nothing else"]
    ranked = await stage.rank("red fox", passages)
    assert [item.index for item in ranked] == [1, 3, 2, 0, 4]
    assert [item.score for item in ranked] == [1, 1, 0.5, 0, 0]
    assert await stage.rank("red fox", passages, 2) == ranked[:2]
    assert await stage.rank("red fox", passages, 99) == ranked


async def test_callers_take_turns() -> None:
    stage, engine = make(GatedReranker)
    calls = [asyncio.create_task(stage.rank(query, ["x"] * CHUNK_PASSAGES * 2)) for query in ("a", "b")]
    engine.gate.release(4)
    await asyncio.gather(*calls)
    assert engine.queries == ["a", "b", "a", "b"]
    assert engine.n_passages_of_calls == [CHUNK_PASSAGES] * 4


async def test_a_cancelled_call_stops_after_its_chunk() -> None:
    stage, engine = make(GatedReranker)
    call = asyncio.create_task(stage.rank("a", ["x"] * CHUNK_PASSAGES * 10))
    await entered(engine)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    engine.gate.release(2)
    await stage.rank("b", ["y"])
    assert engine.queries == ["a", "b"]
    report = await stage.describe()
    assert (report.n_running, report.n_failures) == (0, 0)


async def test_limits() -> None:
    stage, _ = make(SharedWordsReranker, max_passages=3)
    with pytest.raises(EmptyInput, match="query"):
        await stage.rank(" \n", ["a"])
    with pytest.raises(EmptyInput, match="passages"):
        await stage.rank("a", [])
    with pytest.raises(TextTooLong, match="4 passages"):
        await stage.rank("a", ["b"] * 4)


async def test_a_full_queue_sheds() -> None:
    stage, engine = make(GatedReranker, max_waiting=1)
    calls = [asyncio.create_task(stage.rank("a", ["x"])) for _ in range(2)]
    await entered(engine)
    with pytest.raises(StageBusy):
        await stage.rank("one too many", ["x"])
    engine.gate.release(2)
    await asyncio.gather(*calls)


async def test_engine_failures_are_translated() -> None:
    stage, _ = make(BrokenReranker)
    with pytest.raises(StageFailed, match="RuntimeError"):
        await stage.rank("a", ["b"])
    assert (await stage.describe()).n_failures == 1


async def test_a_hanging_engine_is_unhealthy() -> None:
    stage, engine = make(GatedReranker)
    call = asyncio.create_task(stage.rank("a", ["x"]))
    await entered(engine)
    await stage.check_health()
    assert stage._chunk_started_s is not None
    stage._chunk_started_s -= STUCK_S + 1
    with pytest.raises(StageFailed, match="hangs"):
        await stage.check_health()
    engine.gate.release()
    await call


@pytest.mark.parametrize(
    ("passage", "expected"),
    [
        ("", []),
        (" \n\t ", []),
        ("No mark at the end", ["No mark at the end"]),
        ("One. Two! Three? Four… Five", ["One.", "Two!", "Three?", "Four…", "Five"]),
        ('He said "stop." Then he left.', ['He said "stop."', "Then he left."]),
        (
            "Dr. Smith met J. R. Jones, i.e. him. They ate.",
            ["Dr. Smith met J. R. Jones, i.e. him.", "They ate."],
        ),
        ("It costs 3.50 today. Really.", ["It costs 3.50 today.", "Really."]),
        ("A heading\nA line\n\nAnother.", ["A heading", "A line", "Another."]),
        (
            "今日は晴れです。明日は雨。「傘を。」どうぞ\uff01",
            ["今日は晴れです。", "明日は雨。", "「傘を。」", "どうぞ\uff01"],
        ),
        ("هل أنت هنا؟ نعم.", ["هل أنت هنا؟", "نعم."]),
        ("यह एक वाक्य है। यह दूसरा है।", ["यह एक वाक्य है।", "यह दूसरा है।"]),
        ("🎉 Hooray! 🎉", ["🎉 Hooray!", "🎉"]),
    ],
)
def test_sentences(passage: str, expected: list[str]) -> None:
    assert sentences(passage) == expected


def test_endless_sentences_are_cut_at_white_space() -> None:
    pieces = sentences("word " * 1000)
    assert max(map(len, pieces)) <= LONGEST_CHARACTERS
    assert " ".join(pieces) == ("word " * 1000).strip()
    assert [len(piece) for piece in sentences("x" * 1200)] == [500, 500, 200]


def test_a_megabyte_without_an_end_is_split_quickly() -> None:
    assert len(sentences("A." * 500_000)) == 2000


FILLER = "The hall was painted last year. Lunch is at noon. Coats hang by the door."


def test_the_answer_is_found_among_other_sentences() -> None:
    engine = SentenceCosineReranker(RerankerArgs())
    passages = [
        f"{FILLER} The library opens at nine. {FILLER}",
        f"{FILLER} Bicycles can be rented at the station. {FILLER}",
        FILLER,
        "",
    ]
    scores = engine.score("When can I borrow books?", passages)
    assert scores.index(max(scores)) == 0
    assert all(-1 <= score <= 1 for score in scores)
    assert engine.score("anything", []) == []
    assert engine.card.stage == "reranker"
    # The query's vector is kept between chunks; another query has its own.
    assert engine.score("Where can I get a bike?", passages)[1] > scores[1]
    engine.close()


def test_sentences_are_embedded_once() -> None:
    asked: list[str] = []

    def embed(texts: Sequence[str]) -> Vectors:
        asked.extend(texts)
        return np.array([[len(text), 1] for text in texts], np.float32)

    kept = SentenceVectors(embed, lambda text: text.split("."), max_sentences=4)
    first = kept.of(["a.bb", "ccc", "a.bb"])
    assert [v.tolist() for v in first] == [[[1, 1], [2, 1]], [[3, 1]], [[1, 1], [2, 1]]]
    assert asked == ["a", "bb", "ccc"]
    kept.of(["ccc", "d.e"])
    assert asked == ["a", "bb", "ccc", "d", "e"]
    assert kept._n_kept == sum(map(len, kept._kept.values())) <= 4
    kept.of(["d.e", "ccc"])
    assert len(asked) == 5
    kept.of(["a.bb"])
    assert asked[5:] == ["a", "bb"]


def test_passages_larger_than_what_is_kept_are_scored_all_the_same() -> None:
    ones = np.ones((9, 2), np.float32)
    kept = SentenceVectors(lambda texts: ones[: len(texts)], lambda text: text.split("."), 2)
    assert [len(v) for v in kept.of(["a.b.c.d", "e"])] == [4, 1]


def test_a_query_that_was_embedded_already_is_not_embedded_again() -> None:
    engine = SentenceCosineReranker(RerankerArgs())
    passages = ["The library opens at nine.", "Bicycles can be rented at the station."]
    books, bicycles = (
        QueryVector(model=engine.card.model, values=CTranslate2Embeddings(EmbeddingsArgs()).embed([query])[0])
        for query in ("When can I borrow books?", "Where can I get a bike?")
    )
    own = engine.score("When can I borrow books?", passages)
    assert engine.score("When can I borrow books?", passages, books) == pytest.approx(own, abs=1e-5)
    assert engine.score("When can I borrow books?", passages, bicycles) != pytest.approx(own, abs=0.1)
    another = replace(bicycles, model="another")
    assert engine.score("When can I borrow books?", passages, another) == own
    engine.close()
