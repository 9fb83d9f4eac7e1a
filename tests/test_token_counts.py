"""Tokens of texts: asked once, and again after a while."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from serve_apps import token_counts
from serve_apps.errors import StageUnavailable
from serve_apps.token_counts import TokenCounts
from tests.fake_clients import FakeLlm


class Counting(FakeLlm):
    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[str]] = []
        self.fails = False

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        if self.fails:
            raise StageUnavailable("llm", "Away.", "Wait.", 1.0)
        self.asked.append(list(texts))
        return [len(text.split()) for text in texts]


async def test_only_what_is_new_is_asked() -> None:
    llm = Counting()
    counts = TokenCounts(llm)
    assert await counts.of(["one two", "three"]) == [2, 1]
    assert await counts.of(["three", "four five six", "one two"]) == [1, 3, 2]
    assert await counts.of(["three"]) == [1]
    assert await counts.of([]) == []
    assert llm.asked == [["one two", "three"], ["four five six"]]


async def test_a_text_that_comes_twice_is_asked_once() -> None:
    llm = Counting()
    assert await TokenCounts(llm).of(["a b", "\ud800", "a b"]) == [2, 1, 2]
    assert llm.asked == [["a b", "\ud800"]]


async def test_a_failure_is_the_callers_and_not_remembered() -> None:
    llm = Counting()
    counts = TokenCounts(llm)
    llm.fails = True
    with pytest.raises(StageUnavailable):
        await counts.of(["a"])
    llm.fails = False
    assert await counts.of(["a"]) == [1]


@pytest.mark.parametrize(("limit", "value"), [("KEPT_S", 0.0), ("MAX_KEPT", 0)])
async def test_counts_grow_old_and_are_not_too_many(
    monkeypatch: pytest.MonkeyPatch, limit: str, value: float
) -> None:
    monkeypatch.setattr(token_counts, limit, value)
    llm = Counting()
    counts = TokenCounts(llm)
    for _ in range(2):
        assert await counts.of(["a b"]) == [2]
    assert llm.asked == [["a b"], ["a b"]]
