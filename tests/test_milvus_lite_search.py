"""Our way through Milvus Lite's segments finds what the library's own finds, whatever was written before."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
from milvus_lite.engine import collection
from milvus_lite.search.executor_indexed import execute_search_with_index

from serve_apps.args import KnowledgeArgs
from serve_apps.contracts_store import SearchScope
from serve_apps.engines import milvus_lite_search
from serve_apps.engines.milvus import MilvusStore
from serve_apps.wire import Vectors

NAME = "raydio_searched"
N_DIMENSIONS = 8
SCOPES = (SearchScope(), SearchScope(documents=(1, 3)), SearchScope(without=(2,)))


@pytest.fixture
def store() -> Iterator[MilvusStore]:
    made = MilvusStore(KnowledgeArgs())
    made.create(NAME, N_DIMENSIONS)
    yield made
    made.drop(NAME)
    made.close()


def unit(numbers: np.random.Generator, n: int) -> Vectors:
    made = numbers.standard_normal((n, N_DIMENSIONS)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def found(store: MilvusStore, query: Vectors) -> list[list[tuple[int, float]]]:
    return [store.dense(NAME, query, 12, scope) for scope in SCOPES]


def by_the_library(store: MilvusStore, query: Vectors) -> list[list[tuple[int, float]]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collection, "execute_search_with_index", execute_search_with_index)
        return found(store, query)


@pytest.mark.parametrize("seed", range(3))
def test_the_same_is_found_as_by_the_library(store: MilvusStore, seed: int) -> None:
    numbers, choices = np.random.default_rng(seed), random.Random(seed)  # noqa: S311
    for _ in range(12):
        keys = choices.sample(range(60), 15)
        store.insert(NAME, keys, [key % 5 for key in keys], ["x"] * 15, unit(numbers, 15))
        if choices.random() < 0.4:
            store.delete(NAME, [choices.randrange(5)])
        if choices.random() < 0.7:
            store.flush(NAME)
        query = unit(numbers, 1)[0]
        for ours, theirs in zip(found(store, query), by_the_library(store, query), strict=True):
            # An index that is built in between rounds otherwise.
            assert [key for key, _ in ours] == [key for key, _ in theirs]
            assert [score for _, score in ours] == pytest.approx([score for _, score in theirs], abs=1e-5)
    assert any(found(store, unit(numbers, 1)[0]))


def test_what_is_deleted_brought_back_and_deleted_again_is_gone(store: MilvusStore) -> None:
    vectors = unit(np.random.default_rng(0), 2)
    for _ in range(2):
        store.insert(NAME, [1, 2], [1, 2], ["x", "y"], vectors)
        store.flush(NAME)
        assert {key for key, _ in store.dense(NAME, vectors[0], 5, SearchScope())} == {1, 2}
        store.delete(NAME, [1])
        store.flush(NAME)
        assert {key for key, _ in store.dense(NAME, vectors[0], 5, SearchScope())} == {2}


def test_flushed_rows_are_not_looked_through_one_by_one(
    store: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(**_call: object) -> None:
        raise AssertionError

    vectors = unit(np.random.default_rng(0), 3)
    store.insert(NAME, [1, 2, 3], [1, 1, 1], ["x"] * 3, vectors)
    store.flush(NAME)
    monkeypatch.setattr(milvus_lite_search, "_library_search", slow)
    assert store.dense(NAME, vectors[2], 1, SearchScope())[0][0] == 3
