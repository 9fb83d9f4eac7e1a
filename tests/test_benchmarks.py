"""The benchmarks' own rules: medians, thrown-away rounds, gates, and what becomes of them on paper."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from benchmarks import library, line_server, machine, plot, rules, table
from benchmarks.engine_process import engine_process
from benchmarks.microphone import HANGOVER_S, PIECE_S, Microphone, Speech, Uplink, noise, trimmed
from benchmarks.mock_engine import TOKEN, MockLlm
from benchmarks.mock_voice import LOG, SLOWLY, VoiceLlm, VoiceTts, heard, spoken_s
from benchmarks.result import Gate, RowResult, counted, from_json, measured, to_json
from benchmarks.rules import alternate, interleave, percentile, spread
from benchmarks.speaker import Speaker
from serve_apps.args import LlmArgs, TtsArgs
from serve_apps.wire import STT_RATE_HZ, ChatRequest, LlmDelta, LlmDone, Message, SpeakRequest

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


# ---- live voice ------------------------------------------------------------------------------------


def test_a_microphone_speaks_at_once_and_sends_a_quiet_room_together() -> None:
    uplink = Uplink()
    room, voice = noise(480), np.full(480, 0.1, np.float32)
    assert [len(uplink.hear(room) or b"") for _ in range(10)] == [0] * 9 + [10 * 960]
    assert len(uplink.hear(voice) or b"") == 960
    n_alone = round(HANGOVER_S / PIECE_S)
    assert all(len(uplink.hear(room) or b"") == 960 for _ in range(n_alone - 1))
    assert None in [uplink.hear(room) for _ in range(2)]


async def test_what_is_said_arrives_whole_and_when_it_is_said_to() -> None:
    sent: list[tuple[float, bytes]] = []
    said = asyncio.Event()

    async def send(data: bytes) -> None:
        sent.append((time.perf_counter(), data))
        if len(sent) == 5:
            said.set()

    microphone = Microphone(STT_RATE_HZ, send)
    running = asyncio.create_task(microphone.run())
    await asyncio.sleep(0)
    spoken = microphone.say(Speech(np.full(1000, 0.5, np.float32)))
    async with asyncio.timeout(5):
        await said.wait()
    running.cancel()
    arrived = np.frombuffer(b"".join(data for _, data in sent), "<i2")
    assert (np.abs(arrived) > 10_000).sum() == 1000
    assert spoken.ended_at - spoken.began_at == pytest.approx(1000 / STT_RATE_HZ)
    loud_at = next(at for at, data in sent if np.abs(np.frombuffer(data, "<i2")).max() > 10_000)
    assert loud_at >= spoken.began_at


def test_silence_around_words_is_not_speech() -> None:
    voice = np.full(STT_RATE_HZ // 2, 0.1, np.float32)
    quiet = noise(STT_RATE_HZ)
    around = np.concatenate([quiet, voice, quiet])
    assert len(trimmed(around)) == len(voice)
    assert heard(voice) == heard(around) == "I talked for 0.5 seconds."


def test_a_speaker_runs_dry_where_a_piece_is_late() -> None:
    speaker = Speaker()
    for at, duration_s in [(10.0, 0.5), (10.2, 0.5), (11.25, 0.5)]:
        speaker.add(at, duration_s)
    assert speaker.late_s == [pytest.approx(0.25)]
    assert speaker.played_s(11.5) == pytest.approx(1.25)
    assert speaker.playing(11.7)
    assert not speaker.playing(11.8)


def test_a_speaker_that_is_stopped_has_played_what_it_had() -> None:
    speaker = Speaker()
    speaker.add(10.0, 2.0)
    speaker.stop(10.5)
    speaker.add(10.6, 2.0)
    assert speaker.played_s(20.0) == pytest.approx(0.5)
    assert not speaker.playing(10.6)


def test_systems_without_a_floor_take_turns() -> None:
    rounds = alternate({"raydio": sampler([1, 2, 3], [5]), "peer": sampler([7], [9])}, n_rounds=2)
    assert rounds.values == {"raydio": [2, 5], "peer": [7, 9]}
    assert rounds.spread("peer").median == 8


@pytest.mark.parametrize(("percent", "value"), [(95, 19), (100, 20), (50, 10), (1, 1)])
def test_percentiles_are_values_that_were_measured(percent: float, value: float) -> None:
    assert percentile([float(v) for v in range(20, 0, -1)], percent) == value


async def test_a_mock_conversation_is_the_same_every_time() -> None:
    llm = VoiceLlm(LlmArgs(engine="mock"))
    request = ChatRequest(messages=(Message(role="user", content="Hello"),), max_tokens=9)
    words = "".join([event.text async for event in llm.stream_chat(request) if isinstance(event, LlmDelta)])
    assert words == "The river runs past the old mill. The river "
    pieces = list(VoiceTts(TtsArgs(engine="mock")).speak(SpeakRequest(text=words)))
    assert sum(piece.duration_s for piece in pieces) == pytest.approx(spoken_s(words), abs=0.01)


async def test_a_mock_model_writes_down_when_it_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYDIO_HOME", str(tmp_path))
    llm = VoiceLlm(LlmArgs(engine="mock"))
    request = ChatRequest(messages=(Message(role="user", content=f"Tell it {SLOWLY}."),), max_tokens=99)
    answer = llm.stream_chat(request)
    await anext(answer)
    await answer.aclose()
    notes = [line.split() for line in (tmp_path / LOG).read_text().splitlines()]
    assert [what for what, _ in notes] == ["began", "stopped"]
    assert float(notes[0][1]) < float(notes[1][1]) <= time.perf_counter()


# ---- documents -------------------------------------------------------------------------------------


def test_the_library_is_the_same_every_time_and_repeats_nothing() -> None:
    texts = [library.section_text(number) for number in range(300)]
    assert texts == [library.section_text(number) for number in range(300)]
    assert len(set(texts)) == 300
    assert max(map(len, texts)) < 575
    assert len({library.place(number) for number in range(20_000)}) == 20_000


def test_the_library_has_every_kind_of_file_and_as_many_sections_as_asked() -> None:
    files = list(library.files(95, first=30))
    assert [file.name for file in files] == [
        "report-0001.md",
        "report-0002.pdf",
        "report-0003.txt",
        "report-0004.md",
    ]
    assert files[1].data.startswith(b"%PDF")
    assert files[0].data.decode().count("## The ") == 30
    assert files[3].data.decode().count("## The ") == 5


def test_questions_are_about_sections_all_over_the_library() -> None:
    asked = library.questions(10, 1000)
    assert len(set(asked)) == 10
    assert all(question.startswith("When does the ") for question in asked)
    assert len(library.questions(10, 3)) == 10


def test_a_process_answers_lines_with_numbers(tmp_path: Path) -> None:
    script = (
        "import asyncio\nfrom benchmarks import line_server\n"
        "async def twice(number: str) -> float: print('noise'); return 2.0 * float(number)\n"
        "async def both(number: str) -> list[float]: return [float(number)] * 2\n"
        "line_server.keep_stdout()\n"
        "asyncio.run(line_server.serve({'twice': twice, 'both': both}))\n"
    )
    (tmp_path / "echo_numbers.py").write_text(script)
    path = f"{tmp_path}:{Path(line_server.__file__).parents[1]}"
    with engine_process("echo_numbers", environment={"PYTHONPATH": path}) as process:
        assert process.ask("twice 21") == 42
        assert process.values("both 3") == [3, 3]


def test_memory_can_be_told_apart_by_command_line() -> None:
    with engine_process("benchmarks.servers.embedding_engines", environment={"RAYDIO_TEST": "memory"}):
        every = machine.pss_mb("RAYDIO_TEST", "memory")
        assert every > 10
        assert machine.pss_mb("RAYDIO_TEST", "memory", "embedding_engines") == pytest.approx(every, rel=0.5)
        assert machine.pss_mb("RAYDIO_TEST", "memory", "no such word") == 0
