"""`raydio eval retrieval` against the documents' door, over a real store, in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from rich.console import Console
from starlette.applications import Starlette
from starlette.testclient import TestClient
from typer.testing import CliRunner

from serve_apps import evaluation_command, evaluation_report, run_state
from serve_apps.cli import app as cli
from serve_apps.errors import InputError, NotFound, NotRunning, StageFailed
from serve_apps.evaluation_data import Dataset, read_dataset
from serve_apps.evaluation_run import WAYS, Door, Found, Way, ask_all, file_name
from serve_apps.knowledge_door import KnowledgeDoor
from serve_apps.run_state import RunState
from tests.document_pages import library

CORPUS = [
    {"_id": "a/fox", "title": "Foxes", "text": "The quick brown fox jumps over the lazy dog."},
    {"_id": "b:owl", "title": "", "text": "Owls sleep by day and hunt by night."},
    {"_id": "c", "title": "Bees", "text": "A swarm hangs in a tree for an hour."},
]
QUERIES = [
    {"_id": "1", "text": "quick brown fox", "relevant": {"a/fox": 2}},
    {"_id": "2", "text": "hunt by night", "relevant": {"b:owl": 2}},
    {"_id": "3", "text": "zebra crossing"},
]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    folder.mkdir()
    for name, lines in (("corpus", CORPUS), ("queries", QUERIES)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    return folder


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    with library(tmp_path) as clients:
        app = Starlette(routes=KnowledgeDoor(clients).routes("/v1"))
        with TestClient(app) as client:
            yield client


def quiet(*_: object) -> None:
    pass


def collections(client: httpx.Client) -> list[str]:
    return [one["name"] for one in client.get("/v1/collections").json()["data"]]


def asked(client: httpx.Client, wanted: Dataset) -> dict[Way, list[Found]]:
    door = Door(client)
    ids = {file_name(at): entry.id for at, entry in enumerate(wanted.entries)}
    with door.collection_of(wanted.entries, quiet) as made:
        return ask_all(door, made, wanted.questions, ids, k=3, progress=quiet)


def test_every_way_is_asked_and_nothing_is_left_behind(client: httpx.Client, dataset: Path) -> None:
    wanted = read_dataset(dataset)
    found = asked(client, wanted)
    assert list(found) == list(WAYS)
    hybrid = found[Way(method="hybrid", rerank=True)]
    assert [one.ranking[0] for one in hybrid[:2]] == ["a/fox", "b:owl"]
    assert all(len(one.scores) == len(one.ranking) and one.latency_ms > 0 for one in hybrid)
    assert not [name for name in collections(client) if name.startswith("Evaluation")]


def test_the_collection_is_deleted_when_the_work_is_interrupted(client: httpx.Client, dataset: Path) -> None:
    wanted = read_dataset(dataset)
    with suppress(KeyboardInterrupt), Door(client).collection_of(wanted.entries, quiet):
        assert [name for name in collections(client) if name.startswith("Evaluation")]
        raise KeyboardInterrupt
    assert not [name for name in collections(client) if name.startswith("Evaluation")]


def test_tables_and_numbers_say_the_same(client: httpx.Client, dataset: Path) -> None:
    wanted = read_dataset(dataset)
    found = asked(client, wanted)
    lines = evaluation_report.judged(wanted.questions, found, 3)
    sweeps = evaluation_report.swept(wanted.questions, found)
    told = json.loads(json.dumps(evaluation_report.as_json(lines, sweeps, {"k": 3})))
    best = told["ways"][WAYS.index(Way(method="hybrid", rerank=True))]
    assert best["metrics"]["ndcg"]["mean"] == 1
    assert best["latency_ms"]["p50"] <= best["latency_ms"]["p95"]
    assert [one["way"]["method"] for one in told["thresholds"]] == ["hybrid", "dense"]
    console = Console(width=160, record=True)
    console.print(evaluation_report.quality_table(lines, 3), evaluation_report.threshold_table(sweeps[0]))
    text = console.export_text()
    assert "nDCG@3" in text
    assert "*1.000 [1.00, 1.00]" in text
    assert "unanswerable refused" in text


def test_a_collection_is_found_by_name_and_by_id(client: httpx.Client) -> None:
    door = Door(client)
    made = client.post("/v1/collections", json={"name": "Work"}).json()["id"]
    assert door.collection_id("Work") == door.collection_id(made) == made
    with pytest.raises(NotFound):
        door.collection_id("Play")


def answering(status: int, body: Any = None) -> httpx.Client:
    def answer(request: httpx.Request) -> httpx.Response:
        if status == 0:
            raise httpx.ConnectError("refused", request=request)
        return httpx.Response(status, json=body)

    return httpx.Client(base_url="http://raydio", transport=httpx.MockTransport(answer))


@pytest.mark.parametrize(
    ("status", "body", "error", "message"),
    [
        (0, None, NotRunning, "does not answer"),
        (401, {"error": {"message": "The token is wrong."}}, InputError, "The token is wrong"),
        (500, {"error": {"message": "It broke."}}, StageFailed, "It broke"),
        (502, "no JSON object", StageFailed, "answered 502"),
    ],
)
def test_refusals_are_told_in_the_doors_own_words(
    status: int, body: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Door(answering(status, body)).collection_id("Work")


def test_a_passage_that_cannot_be_added_is_an_error(dataset: Path) -> None:
    answers = iter([{"id": "made"}, {"n_failed": 1, "failed": [{"name": "x", "message": "Too large."}]}, {}])
    client = httpx.Client(
        base_url="http://raydio",
        transport=httpx.MockTransport(lambda _: httpx.Response(200, json=next(answers))),
    )
    entries = read_dataset(dataset).entries
    with pytest.raises(StageFailed, match="Too large"), Door(client).collection_of(entries, quiet):
        pass
    assert next(answers, None) is None


# ---- the command -----------------------------------------------------------------------------------


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["eval", "retrieval", *arguments])


def test_without_raydio_the_command_says_so(dataset: Path) -> None:
    assert run(str(dataset)).exit_code == 1
    assert run(str(dataset / "nowhere")).exit_code == 1
    assert run().exit_code == 2


def judge(client: httpx.Client | None, dataset: Path, json_file: Path | None = None) -> None:
    evaluation_command.retrieval(dataset, "", k=3, json_file=json_file, threshold_sweep=True, client=client)


def test_the_command_judges_writes_and_deletes(
    client: httpx.Client, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judge(client, dataset, tmp_path / "out.json")
    told = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert (told["k"], told["n_questions"], told["n_answerable"]) == (3, 3, 2)
    output = capsys.readouterr().out
    assert "2 answerable questions" in output
    assert "keeps 95 %" in output


def test_ctrl_c_is_an_exit_status_of_its_own(dataset: Path) -> None:
    def interrupted(_: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    client = httpx.Client(base_url="http://raydio", transport=httpx.MockTransport(interrupted))
    with pytest.raises(typer.Exit) as ended:
        judge(client, dataset)
    assert ended.value.exit_code == 130


def test_the_address_is_the_running_ones(dataset: Path) -> None:
    run_state.write(RunState(phase="ready", url="http://127.0.0.1:9/", address="a cluster"))
    with pytest.raises(NotRunning, match="does not answer"):
        judge(None, dataset)
