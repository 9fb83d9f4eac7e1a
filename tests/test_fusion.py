"""Two rankings as one: what meaning says, and what words add to it."""

from __future__ import annotations

import pytest

from serve_apps.catalogue.fusion import WORDS_HALF, WORDS_WEIGHT, fuse, merged, ranked


def test_words_add_to_the_cosine_and_never_more_than_their_weight() -> None:
    fused = {one.key: one for one in fuse([(1, 0.5), (2, 0.3)], [(2, WORDS_HALF), (1, 1e9)])}
    assert fused[2].score == pytest.approx(0.3 + WORDS_WEIGHT / 2)
    assert fused[1].score == pytest.approx(0.5 + WORDS_WEIGHT)
    assert (fused[1].cosine, fused[1].bm25, fused[1].dense_rank, fused[1].bm25_rank) == (0.5, 1e9, 1, 2)


def test_a_code_that_only_words_find_comes_first_among_what_is_hardly_near() -> None:
    dense = [(key, 0.25 - key / 1000) for key in range(30)]
    assert fuse(dense, [(99, 20.0)])[0].key == 99


def test_common_words_do_not_beat_what_is_meant() -> None:
    dense = [(1, 0.6), *((key, 0.3) for key in range(2, 30))]
    assert fuse(dense, [(99, 6.0), (2, 5.0)])[0].key == 1


def test_what_only_words_found_counts_as_no_nearer_than_the_last() -> None:
    found = fuse([(1, 0.5), (2, 0.2)], [(3, 1.0)])
    assert [one.key for one in found] == [1, 3, 2]
    assert found[1].cosine is None
    assert found[1].dense_rank is None
    assert found[1].score == pytest.approx(0.2 + WORDS_WEIGHT / (1 + WORDS_HALF))


def test_with_one_ranking_empty_the_order_is_the_others() -> None:
    assert [one.key for one in fuse([(3, 0.9), (1, 0.5), (2, -0.1)], [])] == [3, 1, 2]
    assert [one.key for one in fuse([], [(3, 9.0), (1, 2.0)])] == [3, 1]
    assert fuse([], []) == []


def test_scores_without_sense_add_nothing() -> None:
    assert fuse([(1, 0.5)], [(1, 0.0)])[0].score == 0.5
    assert fuse([(1, 0.5)], [(1, -3.0)])[0].score == 0.5


def test_equals_are_in_a_stable_order() -> None:
    assert [one.key for one in fuse([(7, 0.5), (3, 0.5)], [])] == [3, 7]


def test_one_ranking_stays_as_it_is() -> None:
    assert [(one.key, one.score, one.bm25_rank) for one in ranked([], [(4, 3.0), (2, 1.0)])] == [
        (4, 3.0, 1),
        (2, 1.0, 2),
    ]
    assert [(one.key, one.cosine, one.dense_rank) for one in ranked([(4, 0.5)], [])] == [(4, 0.5, 1)]


def test_several_collections_are_merged_by_score() -> None:
    assert merged([[(1, 0.5), (2, 0.1)], [(3, 0.3)]], limit=2) == [(1, 0.5), (3, 0.3)]
