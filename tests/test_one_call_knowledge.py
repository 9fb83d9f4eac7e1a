"""Passages in one call: the same as stage by stage, the same errors, and nothing that is gone meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from serve_apps import database
from serve_apps.args import EmbeddingsArgs, OneCallKnowledgeArgs, RerankerArgs, RetrievalArgs
from serve_apps.embeddings import EmbeddingsStage
from serve_apps.errors import EmbeddingMismatch, NotFound, StageFailed, StageTimeout
from serve_apps.finding import NO_EMBEDDINGS, NO_RERANKER
from serve_apps.one_call_knowledge import OneCallKnowledge
from serve_apps.reranker import RerankerStage
from serve_apps.retrieval import Ranking, Retriever
from serve_apps.wire import Vectors
from serve_apps.wire_knowledge import Retrieval, SearchMethod
from tests.conversations import sqlite_url
from tests.fake_engines.embeddings import HashedEmbeddings
from tests.fake_engines.reranker import SharedWordsReranker
from tests.knowledge import added

TEXTS = ["The tower opens at nine.", "Tickets for the tower cost twelve euros.", "Frogs sing in the pond."]
Made = Callable[..., OneCallKnowledge]


class Worded(HashedEmbeddings):
    """An encoder that does something before it answers; fails when told to."""

    before: Callable[[], Any] | None = None
    fails = False

    def embed(self, texts: Sequence[str]) -> Vectors:
        if self.fails:
            raise RuntimeError("no encoder")
        if self.before is not None:
            self.before()
        return super().embed(texts)


class Broken(SharedWordsReranker):
    def score(self, *_asked: object, **_options: object) -> list[float]:
        raise RuntimeError("no reranker")


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    stages: list[OneCallKnowledge] = []

    def make(encoder: type[HashedEmbeddings] = HashedEmbeddings, reranker: Any = SharedWordsReranker) -> Any:
        where = database.opened(sqlite_url(tmp_path))
        stages.append(OneCallKnowledge(OneCallKnowledgeArgs(), encoder, reranker, where))
        return stages[-1]

    yield make
    for stage in stages:
        stage.close()


def asking(knowledge: OneCallKnowledge, *, in_one_call: bool, **args: Any) -> Retriever:
    embeddings = EmbeddingsStage(EmbeddingsArgs(), HashedEmbeddings)
    reranker = RerankerStage(RerankerArgs(), SharedWordsReranker)
    limits = RetrievalArgs(in_one_call=in_one_call, min_score=0.1, min_cosine=0.05, **args)
    return Retriever(embeddings, knowledge, reranker, limits)


async def asked(knowledge: OneCallKnowledge, query: str, user: str = "anna", **wanted: Any) -> Ranking:
    return await asking(knowledge, in_one_call=True).rank(user, query, Retrieval(**wanted))


async def filled(knowledge: OneCallKnowledge, name: str = "a", texts: Sequence[str] = TEXTS) -> str:
    embeddings = EmbeddingsStage(EmbeddingsArgs(), HashedEmbeddings)
    return (await added(knowledge, embeddings, "anna", "Documents", name, texts, model="hashed words")).id


@pytest.mark.parametrize("method", ["hybrid", "dense", "bm25"])
@pytest.mark.parametrize("rerank", [True, False])
async def test_it_finds_what_the_stages_find(made: Made, method: SearchMethod, *, rerank: bool) -> None:
    knowledge = made()
    await filled(knowledge)
    for query in ("tower tickets cost", "when do frogs sing", "the tower"):
        wanted = Retrieval(method=method, rerank=rerank)
        one, other = [
            await asking(knowledge, in_one_call=way).rank("anna", query, wanted) for way in (True, False)
        ]
        assert one.hits == other.hits
        assert one.hits
        assert (one.n_below, one.notes) == (other.n_below, other.notes)
        assert [bar.name for bar in one.spans] == [bar.name for bar in other.spans]


async def test_bars_lie_one_after_the_other(made: Made) -> None:
    knowledge = made()
    await filled(knowledge)
    embed, search, rerank = (await asked(knowledge, "tower tickets")).spans
    assert 0 <= embed.start_ms <= embed.start_ms + embed.duration_ms <= search.start_ms
    assert search.start_ms + search.duration_ms <= rerank.start_ms


async def test_without_a_reranker_the_vector_order_is_used_and_said(made: Made) -> None:
    knowledge = made(reranker=Broken)
    await filled(knowledge)
    found = await asked(knowledge, "tower tickets cost")
    assert found.notes == (NO_RERANKER,)
    assert [item.reranked for item in found.hits] == [False] * len(found.hits)


async def test_without_an_encoder_words_are_searched_and_said(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    knowledge = made(Worded)
    await filled(knowledge)
    monkeypatch.setattr(Worded, "fails", True)
    found = await asked(knowledge, "tickets")
    assert found.notes == (NO_EMBEDDINGS,)
    assert [item.hit.passage.text for item in found.hits] == [TEXTS[1]]
    with pytest.raises(StageFailed, match="embeddings"):
        await asked(knowledge, "tickets", method="dense")


async def test_another_users_documents_are_not_found(made: Made) -> None:
    knowledge = made()
    await filled(knowledge)
    [collection] = await knowledge.collections("anna")
    assert (await asked(knowledge, "tower tickets", user="bert")).hits == ()
    with pytest.raises(NotFound):
        await asked(knowledge, "tower", user="bert", collections=(collection.id,))


async def test_another_models_collection_is_told(made: Made) -> None:
    knowledge = made()
    embeddings = EmbeddingsStage(EmbeddingsArgs(), HashedEmbeddings)
    await added(knowledge, embeddings, "anna", "Documents", "a", TEXTS, model="Other 7B")
    with pytest.raises(EmbeddingMismatch):
        await asked(knowledge, "tower")


async def test_what_is_deleted_while_the_question_is_embedded_is_not_found(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    knowledge = made(Worded)
    gone = await filled(knowledge)
    await filled(knowledge, "b", ["The tower was built of stone."])
    loop = asyncio.get_running_loop()

    def delete() -> None:
        monkeypatch.setattr(Worded, "before", None)
        assert asyncio.run_coroutine_threadsafe(knowledge.delete("anna", gone), loop).result(30)

    monkeypatch.setattr(Worded, "before", staticmethod(delete))
    found = await asked(knowledge, "tower")
    assert [item.hit.document.name for item in found.hits] == ["b"]


async def test_a_hanging_encoder_ends_in_time_and_later_calls_go_on(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    knowledge = made(Worded)
    await filled(knowledge)
    free = threading.Event()
    monkeypatch.setattr(Worded, "before", staticmethod(free.wait))
    slow = asking(knowledge, in_one_call=True, timeout_s=0.1)
    with pytest.raises(StageTimeout, match="took too long"):
        await slow.rank("anna", "tower", Retrieval())
    free.set()
    assert (await asked(knowledge, "tower")).hits


async def test_its_health_is_the_encoders_too(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    knowledge = made()
    await knowledge.check_health()
    monkeypatch.setattr("serve_apps.embeddings.STUCK_S", -1.0)
    monkeypatch.setattr(knowledge._embeddings, "_batch_started_s", 0.0)
    with pytest.raises(StageFailed, match="encoder hangs"):
        await knowledge.check_health()


async def test_it_says_which_models_it_holds(made: Made) -> None:
    card = (await made().describe()).card
    assert card.stage == "knowledge"
    assert card.model == "Milvus Lite, hashed words, shared words"
    assert set(card.details) == {"vectors", "embeddings", "reranker"}
    assert card.licence.startswith("Apache-2.0")
