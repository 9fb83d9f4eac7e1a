"""Two users and what they may see of each other; filters, also hostile ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from serve_apps.args import KnowledgeArgs
from serve_apps.errors import Forbidden, InputError, NotFound
from serve_apps.knowledge import KnowledgeStage
from serve_apps.wire_knowledge import Document, Filters, Page, Passage, SearchMethod
from tests.fake_clients import FakeEmbeddings
from tests.knowledge import MODEL, added, searched
from tests.test_knowledge import new_document

EMBEDDINGS = FakeEmbeddings()
METHODS: tuple[SearchMethod, ...] = ("hybrid", "dense", "bm25")
SECRET = "the treasure is under the oak"
HOSTILE = (
    '" or 1==1 --',
    "' OR '1'='1",
    "x'); DROP TABLE documents; --",
    '") or document_id != ("',
    '\\" or true or "\\',
    "{ids}",
    "%",
    "_",
    "*",
    "a\x00b",
    "anna' UNION SELECT * FROM originals --",
    '猫"] or [1',
)


@pytest.fixture
def knowledge(database: Engine) -> Iterator[KnowledgeStage]:
    made = KnowledgeStage(KnowledgeArgs(), database=database)
    yield made
    made.close()


async def secret(knowledge: KnowledgeStage) -> Document:
    return await added(knowledge, EMBEDDINGS, "anna", "Documents", "secret", [SECRET], tags=("private",))


Call = Callable[[KnowledgeStage, Document], Awaitable[Any]]
READS: dict[str, Call] = {
    "documents": lambda k, d: k.documents("bert", d.collection_id),
    "document": lambda k, d: k.document("bert", d.id),
    "page": lambda k, d: k.page("bert", d.id, 1),
    "original": lambda k, d: k.original("bert", d.id),
    "neighbours": lambda k, d: k.neighbours("bert", d.id, 0),
    "n_vectors": lambda k, d: k.n_vectors("bert", d.collection_id),
    "vectors": lambda k, d: k.vectors("bert", d.collection_id),
    "passages": lambda k, d: k.passages("bert", d.collection_id),
    "search": lambda k, d: searched(k, EMBEDDINGS, "bert", SECRET, collections=(d.collection_id,)),
}
WRITES: dict[str, Call] = {
    "change": lambda k, d: k.change_collection("bert", d.collection_id, name="mine"),
    "share": lambda k, d: k.change_collection("bert", d.collection_id, shared=True),
    "delete_collection": lambda k, d: k.delete_collection("bert", d.collection_id),
    "tag": lambda k, d: k.tag("bert", d.id, ["mine"]),
    "delete": lambda k, d: k.delete("bert", d.id),
    "begin": lambda k, d: k.begin("bert", d.collection_id, new_document("b"), MODEL, 32),
    "begin_reindex": lambda k, d: k.begin_reindex("bert", d.collection_id, MODEL, 32),
}


async def test_what_is_anothers_does_not_exist(knowledge: KnowledgeStage) -> None:
    document = await secret(knowledge)
    for call in (*READS.values(), *WRITES.values()):
        with pytest.raises(NotFound):
            await call(knowledge, document)


async def test_what_is_shared_is_read_by_all_and_changed_by_its_owner(knowledge: KnowledgeStage) -> None:
    document = await secret(knowledge)
    await knowledge.change_collection("anna", document.collection_id, shared=True)
    for read in READS.values():
        assert await read(knowledge, document)
    for write in WRITES.values():
        with pytest.raises(Forbidden, match="anna"):
            await write(knowledge, document)
        assert await knowledge.documents("anna", document.collection_id) == [document]


async def test_searches_stay_with_their_user(knowledge: KnowledgeStage) -> None:
    document = await secret(knowledge)
    await added(knowledge, EMBEDDINGS, "bert", "Documents", "mine", ["an oak in my garden"])
    for method in METHODS:
        found = await searched(knowledge, EMBEDDINGS, "bert", SECRET, method=method)
        assert {hit.document.name for hit in found.hits} == {"mine"}
    await knowledge.change_collection("anna", document.collection_id, shared=True)
    assert (await searched(knowledge, EMBEDDINGS, "bert", SECRET)).hits[0].document == document
    assert [one.owner for one in await knowledge.collections("bert")] == ["bert", "anna"]
    await knowledge.change_collection("anna", document.collection_id, shared=False)
    found = await searched(knowledge, EMBEDDINGS, "bert", SECRET)
    assert {hit.document.name for hit in found.hits} == {"mine"}


async def test_first_collections_are_made_once(knowledge: KnowledgeStage) -> None:
    lists = await asyncio.gather(*(knowledge.collections("carl") for _ in range(8)))
    assert {tuple(one.name for one in found) for found in lists} == {("Documents",)}
    assert len({found[0].id for found in lists}) == 1


async def test_names_are_unique_to_each_user(knowledge: KnowledgeStage) -> None:
    made = await knowledge.create_collection("anna", " Letters ")
    assert made.name == "Letters"
    await knowledge.create_collection("bert", "Letters")
    other = await knowledge.create_collection("anna", "Bills")
    for attempt in (
        knowledge.create_collection("anna", "Letters"),
        knowledge.change_collection("anna", other.id, name="Letters"),
        knowledge.create_collection("anna", "  "),
        knowledge.create_collection("anna", "two\nlines"),
        knowledge.create_collection("anna", "x" * 201),
    ):
        with pytest.raises(InputError):
            await attempt
    assert (await knowledge.change_collection("anna", other.id, name="Invoices")).name == "Invoices"


async def test_a_deleted_collection_is_gone_with_all_that_was_in_it(knowledge: KnowledgeStage) -> None:
    document = await secret(knowledge)
    letters = await knowledge.create_collection("anna", "Letters")
    kept = await added(knowledge, EMBEDDINGS, "anna", letters.id, "kept", ["the treasure map"])
    deleted = await knowledge.delete_collection("anna", document.collection_id)
    assert (deleted.n_documents, deleted.n_passages, deleted.n_remaining) == (1, 1, 0)
    found = await searched(knowledge, EMBEDDINGS, "anna", SECRET)
    assert [hit.document.id for hit in found.hits] == [kept.id]
    with pytest.raises(NotFound):
        await knowledge.documents("anna", document.collection_id)
    assert len(knowledge._store.names()) == 1
    assert [one.name for one in await knowledge.collections("anna")] == ["Letters"]
    await knowledge.create_collection("anna", "Documents")


async def test_collections_are_searched_together(knowledge: KnowledgeStage) -> None:
    await added(knowledge, EMBEDDINGS, "anna", "One", "one", ["apples and pears", "stones"])
    two = await added(knowledge, EMBEDDINGS, "anna", "Two", "two", ["pears and plums", "sticks"])
    found = await searched(knowledge, EMBEDDINGS, "anna", "pears and plums")
    assert [hit.document.name for hit in found.hits][:2] == ["two", "one"]
    only = await searched(knowledge, EMBEDDINGS, "anna", "pears", collections=(two.collection_id,))
    assert {hit.document.name for hit in only.hits} == {"two"}


async def test_filters_limit_by_name_kind_tag_and_date(knowledge: KnowledgeStage) -> None:
    one = await added(knowledge, EMBEDDINGS, "anna", "Documents", "one", ["a pear"], tags=("fruit", "x"))
    two = await added(knowledge, EMBEDDINGS, "anna", "Documents", "two", ["a pear tree"], tags=("tree",))
    middle_s = (one.added_s + two.added_s) / 2
    expected = {
        Filters(names=("one",)): {"one"},
        Filters(documents=(two.id,)): {"two"},
        Filters(kinds=("text",)): {"one", "two"},
        Filters(kinds=("pdf",)): set(),
        Filters(tags=("fruit", "none")): {"one"},
        Filters(tags=("fruit",), names=("two",)): set(),
        Filters(added_after_s=middle_s): {"two"},
        Filters(added_before_s=middle_s): {"one"},
        Filters(added_after_s=one.added_s, added_before_s=two.added_s): {"one", "two"},
    }
    for filters, names in expected.items():
        for method in METHODS:
            found = await searched(
                knowledge,
                EMBEDDINGS,
                "anna",
                "pear",
                method=method,
                filters=filters,
            )
            assert {hit.document.name for hit in found.hits} == names, (filters, method)
    await knowledge.tag("anna", two.id, ["fruit", " fruit ", ""])
    found = await searched(knowledge, EMBEDDINGS, "anna", "pear", filters=Filters(tags=("fruit",)))
    assert {hit.document.tags for hit in found.hits} == {("fruit", "x"), ("fruit",)}


async def test_no_value_widens_a_search(knowledge: KnowledgeStage) -> None:
    await secret(knowledge)
    await added(knowledge, EMBEDDINGS, "bert", "Documents", "mine", ["an oak in my garden"])
    for text in HOSTILE:
        for filters in (
            Filters(documents=(text,)),
            Filters(names=(text,)),
            Filters(kinds=(text,)),  # type: ignore[arg-type]
            Filters(tags=(text,)),
        ):
            for method in METHODS:
                found = await searched(knowledge, EMBEDDINGS, "bert", SECRET, method=method, filters=filters)
                assert found.hits == ()
        for attempt in (
            searched(knowledge, EMBEDDINGS, "bert", SECRET, collections=(text,)),
            knowledge.document("bert", text),
            knowledge.documents("bert", text),
        ):
            with pytest.raises(NotFound):
                await attempt
        assert (await searched(knowledge, EMBEDDINGS, text, SECRET)).hits == ()
        found = await searched(knowledge, EMBEDDINGS, "bert", f"{text} oak", method="bm25")
        assert {hit.document.name for hit in found.hits} <= {"mine"}


async def test_hostile_names_are_names(knowledge: KnowledgeStage) -> None:
    for text in HOSTILE:
        shown = text.replace("\x00", "\ufffd")
        document = await added(
            knowledge, EMBEDDINGS, shown, "Documents", text, [text + " pear"], tags=(text,)
        )
        assert (document.name, document.tags) == (shown, (shown,))
        for filters in (Filters(names=(shown,)), Filters(tags=(shown,)), Filters()):
            found = await searched(knowledge, EMBEDDINGS, shown, "pear", filters=filters)
            assert [hit.document.id for hit in found.hits] == [document.id]
            assert found.hits[0].passage.text == shown + " pear"
        assert (await knowledge.delete(shown, document.id)).n_remaining == 0


async def test_half_a_character_is_stored_as_a_question_mark(knowledge: KnowledgeStage) -> None:
    collection_id = (await knowledge.collections("anna"))[0].id
    ticket = await knowledge.begin("anna", collection_id, new_document("half \ud83e"), MODEL, 32)
    passage = Passage(index=0, text="pear \ud83e tree", page=1, start=0, end=11)
    await knowledge.add_pages(ticket, [Page(number=1, text=passage.text)])
    await knowledge.add_passages(ticket, [passage], await EMBEDDINGS.embed(["pear tree"]))
    document = await knowledge.commit(ticket)
    assert document.name == "half ?"
    assert (await knowledge.page("anna", document.id, 1)).text == "pear ? tree"
    found = await searched(knowledge, EMBEDDINGS, "anna", "pear tree")
    assert found.hits[0].passage.text == "pear ? tree"
    found = await searched(knowledge, EMBEDDINGS, "anna", "pear", filters=Filters(names=("half \ud83e",)))
    assert [hit.document for hit in found.hits] == [document]


async def test_vectors_that_do_not_fit_are_refused(knowledge: KnowledgeStage) -> None:
    collection_id = (await knowledge.collections("anna"))[0].id
    ticket = await knowledge.begin("anna", collection_id, new_document("a"), MODEL, 32)
    passages = [Passage(index=n, text="text", page=1, start=0, end=4) for n in range(2)]
    for vectors in (np.ones((1, 32)), np.ones(32), np.ones((2, 31)), np.full((2, 32), np.inf)):
        with pytest.raises(InputError):
            await knowledge.add_passages(ticket, passages, vectors.astype(np.float32))
    assert (await knowledge.commit(ticket)).n_passages == 0
