"""Retrieval metrics against values worked out by hand, and what must hold for any ranking."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from serve_apps import evaluation
from serve_apps.errors import InputError
from serve_apps.evaluation import Judged, estimate, is_as_good, judge, separation, suggested, sweep
from serve_apps.evaluation_data import read_dataset

OURS = Path(__file__).parent / "data" / "retrieval"


@pytest.mark.parametrize(
    ("ranking", "relevant", "judged"),
    [
        (["a", "b"], {"a": 2}, Judged(recall=1, reciprocal_rank=1, ndcg=1, success=1)),
        (["x", "a"], {"a": 1}, Judged(recall=1, reciprocal_rank=0.5, ndcg=1 / math.log2(3), success=0)),
        (["x", "y"], {"a": 1}, Judged(recall=0, reciprocal_rank=0, ndcg=0, success=0)),
        ([], {"a": 1}, Judged(recall=0, reciprocal_rank=0, ndcg=0, success=0)),
        # Gains 1 and 3 at places 1 and 2, of 3 and 1 at best.
        (
            ["b", "a"],
            {"a": 2, "b": 1},
            Judged(
                recall=1, reciprocal_rank=1, ndcg=(1 + 3 / math.log2(3)) / (3 + 1 / math.log2(3)), success=1
            ),
        ),
        # The fourth place is out of sight at k = 3; the same id again takes no place.
        (["x", "x", "y", "a", "b"], {"a": 1, "b": 1}, Judged(
            recall=0.5, reciprocal_rank=1 / 3, ndcg=0.5 / (1 + 1 / math.log2(3)), success=0
        )),
    ],
)  # fmt: skip
def test_rankings_judged_by_hand(ranking: list[str], relevant: dict[str, int], judged: Judged) -> None:
    found = judge(ranking, relevant, k=3)
    for name in evaluation.METRICS:
        assert getattr(found, name) == pytest.approx(getattr(judged, name)), name


def test_a_question_without_an_answer_cannot_be_judged() -> None:
    with pytest.raises(ValueError, match="without relevant"):
        judge(["a"], {"a": 0}, k=10)


def test_what_holds_for_any_ranking() -> None:
    random = np.random.default_rng(1)
    ids = [f"p{number}" for number in range(12)]
    for _ in range(300):
        grades = {passage: int(random.integers(0, 4)) for passage in ids}
        grades["p0"] = 1
        ranking, k = [str(one) for one in random.permutation(ids)], int(random.integers(1, 13))
        found = judge(ranking, grades, k)
        assert all(0 <= getattr(found, name) <= 1 for name in evaluation.METRICS)
        ideal = sorted(ids, key=lambda passage: -grades[passage])
        assert judge(ideal, grades, k).ndcg == pytest.approx(1)
        assert judge(ranking, grades, 12).recall == 1
        assert judge(ranking, grades, k).recall <= judge(ranking, grades, 12).recall
        assert found.success == (found.reciprocal_rank == 1)


def test_moving_the_answer_up_never_makes_it_worse() -> None:
    values = [judge([f"x{n}" for n in range(place)] + ["a"], {"a": 2}, 10).ndcg for place in range(12)]
    assert values == sorted(values, reverse=True)
    assert values[10:] == [0, 0]


def test_an_interval_holds_the_mean_and_shrinks_with_more_questions() -> None:
    few, many = estimate([0, 1] * 5), estimate([0, 1] * 500)
    assert few.mean == many.mean == 0.5
    assert few.low < many.low < 0.5 < many.high < few.high
    assert estimate([0.3, 0.9, 0.4]) == estimate([0.3, 0.9, 0.4])
    assert estimate([1, 1, 1]) == evaluation.Estimate(mean=1, low=1, high=1)
    assert math.isnan(estimate([]).mean)


def test_a_small_difference_on_few_questions_tells_nothing() -> None:
    best, other = [1.0, 0.0, 1.0, 1.0, 0.5], [1.0, 0.5, 0.5, 1.0, 0.0]
    assert is_as_good(other, best)
    assert not is_as_good([0.1] * 20, [0.4] * 20)


def test_thresholds_by_hand() -> None:
    answered, unanswerable = [0.2, 0.4, 0.5, -math.inf], [0.1, 0.3]
    found = {one.at: (one.kept, one.refused) for one in sweep(answered, unanswerable, step=0.1)}
    assert found[0.1] == (0.75, 0.0)
    assert found[0.2] == (0.75, 0.5)
    assert found[0.4] == (0.5, 1.0)
    assert found[0.5] == (0.25, 1.0)
    assert list(found) == sorted(found)


def test_a_suggestion_keeps_the_answers() -> None:
    answered = [0.3] + [0.5] * 19
    best = suggested(sweep(answered, [0.2, 0.45, 0.6], step=0.1))
    assert best is not None
    assert best.at == pytest.approx(0.5)
    assert best.kept == 0.95
    assert best.refused == pytest.approx(2 / 3)
    assert suggested([]) is None
    assert suggested(sweep([], [0.4])) is None
    assert sweep([-math.inf], []) == []


def test_separation_is_the_chance_that_an_answer_scores_higher() -> None:
    assert separation([0.5, 0.9], [0.1, 0.2]) == 1
    assert separation([0.5], [0.5]) == 0.5
    assert separation([0.1], [0.2, 0.05]) == 0.5
    assert math.isnan(separation([], [0.2]))


# ---- datasets --------------------------------------------------------------------------------------


def write(folder: Path, corpus: list[object], queries: list[object]) -> Path:
    for name, lines in (("corpus.jsonl", corpus), ("queries.jsonl", queries)):
        (folder / name).write_text("\n".join(map(json.dumps, lines)), "utf-8")
    return folder


PASSAGE = {"_id": "p", "title": "T", "text": "words"}
QUERY = {"_id": "q", "text": "what?", "relevant": {"p": 2}}


def test_ours_is_whole_and_small_passages_only() -> None:
    ours = read_dataset(OURS)
    assert len(ours.entries) == 72
    assert len(ours.answerable) == 64
    assert len(ours.questions) == 80
    assert max(len(entry.title) + len(entry.text) for entry in ours.entries) < 700


def test_grades_of_nothing_are_left_out(tmp_path: Path) -> None:
    found = read_dataset(write(tmp_path, [PASSAGE], [QUERY, {"_id": "r", "text": "?", "relevant": {"p": 0}}]))
    assert [question.relevant for question in found.questions] == [{"p": 2}, {}]
    assert len(found.answerable) == 1


@pytest.mark.parametrize(
    ("corpus", "queries", "message"),
    [
        ([PASSAGE, PASSAGE], [QUERY], "more than once"),
        ([], [QUERY], "is empty"),
        ([PASSAGE], [], "is empty"),
        ([PASSAGE, "text"], [QUERY], "line 2: not a JSON object"),
        ([{"_id": "p", "text": " "}], [QUERY], "`text` must be"),
        ([{"_id": 7, "text": "x"}], [QUERY], "`_id` must be"),
        ([PASSAGE], [{**QUERY, "relevant": {"x": 1}}], "unknown passage 'x'"),
        ([PASSAGE], [{**QUERY, "relevant": {"p": "high"}}], "whole numbers"),
        ([PASSAGE], [{**QUERY, "relevant": ["p"]}], "whole numbers"),
        ([PASSAGE], [{**QUERY, "relevant": {}}], "no question has"),
    ],
)
def test_a_set_that_is_wrong_says_where(
    tmp_path: Path, corpus: list[object], queries: list[object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_dataset(write(tmp_path, corpus, queries))


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"corpus\.jsonl cannot be read"):
        read_dataset(tmp_path)
    write(tmp_path, [PASSAGE], [QUERY])
    (tmp_path / "queries.jsonl").write_text("{", "utf-8")
    with pytest.raises(InputError, match="line 1: not JSON"):
        read_dataset(tmp_path)
    (tmp_path / "queries.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot be read"):
        read_dataset(tmp_path)
