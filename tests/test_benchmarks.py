"""The benchmarks' own rules: medians, thrown-away rounds, gates, and what becomes of them on paper."""

from __future__ import annotations

import math
from collections.abc import Iterator
from xml.etree import ElementTree as ET

import pytest

from benchmarks import plot, rules, table
from benchmarks.mock_engine import TOKEN, MockLlm
from benchmarks.result import Gate, RowResult, counted, from_json, measured, to_json
from benchmarks.rules import interleave, spread
from serve_apps.args import LlmArgs
from serve_apps.wire import ChatRequest, LlmDelta, LlmDone, Message

ABOUT = {
    "cpu": "a CPU",
    "n_cpus": 2,
    "commit": "abc",
    "load_before": 0.1,
    "python": "3.11",
    "versions": {"ray": "2.60.0"},
    "started": "2026-01-01",
}


def sampler(*rounds: list[float]) -> rules.Sampler:
    left: Iterator[list[float]] = iter(rounds)
    return lambda: next(left)


def test_spread_is_median_and_quartiles() -> None:
    assert spread([5, 1, 4, 2, 3]) == rules.Spread(median=3, q1=2, q3=4, n_rounds=5)
    assert spread([7]) == rules.Spread(median=7, q1=7, q3=7, n_rounds=1)
    assert math.isnan(spread([]).median)


def test_a_round_is_the_median_of_its_samples_and_the_mean_of_its_floors() -> None:
    rounds = interleave(
        ("floor", sampler([1.0, 1.0, 9.0], [1.1, 1.1, 1.1])), {"raydio": sampler([3, 2, 100])}, n_rounds=1
    )
    assert rounds.values == {"floor": [pytest.approx(1.05)], "raydio": [3]}
    assert rounds.differences("raydio", "floor") == [pytest.approx(1.95)]
    assert not rounds.noisy


def test_a_round_whose_floors_differ_is_repeated() -> None:
    floor = sampler([1.0], [1.2], [1.0], [1.0])
    rounds = interleave(("floor", floor), {"raydio": sampler([50], [2])}, n_rounds=1)
    assert rounds.values["raydio"] == [2]
    assert rounds.n_discarded == 1
    assert not rounds.noisy


def test_floors_at_the_limit_are_kept() -> None:
    assert rules.drift(1.0, 1.15) == pytest.approx(rules.MAX_FLOOR_DRIFT)
    assert rules.drift(2.0, 1.0) == 1.0


def test_a_machine_that_never_settles_makes_a_noisy_result_not_an_endless_one() -> None:
    floor = sampler(*[[1.0], [2.0]] * 6)
    rounds = interleave(("floor", floor), {"raydio": sampler(*[[3.0]] * 6)}, n_rounds=2)
    assert rounds.noisy
    assert rounds.n_discarded == 6
    assert rounds.values == {"floor": [], "raydio": []}


def test_order_is_floor_product_peers_floor() -> None:
    order: list[str] = []

    def noting(name: str) -> rules.Sampler:
        def take() -> list[float]:
            order.append(name)
            return [1.0]

        return take

    interleave(("floor", noting("floor")), {"raydio": noting("raydio"), "peer": noting("peer")}, n_rounds=2)
    assert order == ["floor", "raydio", "peer", "floor"] * 2


@pytest.mark.parametrize(
    ("gate", "passed"),
    [
        (Gate(text="≤ 5", value=5, limit=5), True),
        (Gate(text="≤ 5", value=5.1, limit=5), False),
        (Gate(text="≥ 2", value=2, limit=2, at_most=False), True),
        (Gate(text="≥ 2", value=1.9, limit=2, at_most=False), False),
        (Gate(text="≤ 5", value=float("nan"), limit=5), False),
    ],
)
def test_gates(gate: Gate, passed: bool) -> None:
    assert gate.passed is passed


def results() -> list[RowResult]:
    rounds = interleave(("direct", lambda: [1.0]), {"raydio": lambda: [3.0]}, n_rounds=5)
    first = measured(
        "first text",
        "ms",
        "lower",
        rounds,
        gates=(Gate(text="added ≤ 5 ms", value=2, limit=5),),
        skipped={"litellm": "not installed"},
    )
    tabs = counted("tabs", "tabs", "higher", systems={"raydio": [200.0]})
    return [
        RowResult(row=1, title="API: first", measures=(first, tabs)),
        RowResult(row=5, title="Page", error="CannotRun: no Chromium | here"),
    ]


def test_results_survive_json() -> None:
    rows, about = from_json(to_json(results(), ABOUT))
    assert rows == results()
    assert about == ABOUT


def test_the_table_has_a_line_for_everything_also_for_what_did_not_run() -> None:
    lines = table.markdown(results(), ABOUT).splitlines()
    assert lines[2] == (
        "| 1 | API: first text, ms | 1.00 direct | **3.00** | litellm: not run | added ≤ 5 ms | yes: 2.00 |"
    )
    assert "no Chromium / here" in lines[4]
    assert {line.count("|") for line in lines[:5]} == {8}


def test_the_plot_is_a_picture() -> None:
    picture = ET.fromstring(plot.svg(results(), ABOUT))  # noqa: S314
    assert len(picture.findall(".//{http://www.w3.org/2000/svg}rect")) == 1 + 3


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1234, "0.123"), (12.345, "12.3"), (151234.5, "151,234"), (float("nan"), "–"), (0, "0")],
)
def test_numbers_are_read_by_people(value: float, text: str) -> None:
    assert table.number(value) == text


async def test_the_mock_answers_as_many_tokens_as_asked() -> None:
    engine = MockLlm(LlmArgs(engine="mock"))
    request = ChatRequest(messages=(Message(role="user", content="two words"),), max_tokens=3)
    events = [event async for event in engine.stream_chat(request)]
    assert [event.text for event in events if isinstance(event, LlmDelta)] == [TOKEN] * 3
    assert isinstance(events[-1], LlmDone)
    assert events[-1].usage.completion_tokens == 3
    assert events[-1].usage.prompt_tokens == 2
