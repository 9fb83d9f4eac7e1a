"""The applications of rayservice.yaml on one machine: every page an application of its own, pretended GPUs.

The config goes to Serve as a cluster gets it: each application is built in a task of the cluster, from its
import_path and plain args. Engines are the deterministic ones, and nothing is installed from an index; names,
routes, resources, limits and autoscaling are the manifest's.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
import ray
import soundfile
import yaml
from gradio_client import Client, handle_file
from ray import serve
from ray.serve._private.api import serve_start
from ray.serve.config import HTTPOptions, ProxyLocation
from ray.serve.schema import ApplicationStatus, ServeDeploySchema
from websockets.sync.client import connect

from serve_apps import local_ray
from serve_apps.machine import free_port
from serve_apps.ray_environment import ray_folder
from tests.family import running_with

ROOT = Path(__file__).parents[2]
TOKEN = "the-token-of-this-test"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
N_GPUS = 8
READY_S = 150
ENGINES: dict[str, dict[str, Any]] = {
    "llm": {"engine": "tests.fake_engines.llm:EchoLlm"},
    "stt": {"engine": "tests.fake_engines.stt:EchoStt", "vad_threshold": 0},
    "tts": {"engine": "tests.fake_engines.tts:ToneTts"},
    "embeddings": {"engine": "tests.fake_engines.embeddings:HashedEmbeddings"},
    "reranker": {"engine": "tests.fake_engines.reranker:SharedWordsReranker"},
}

Yaml = dict[str, Any]


def manifest() -> Yaml:
    service: Yaml = next(yaml.safe_load_all((ROOT / "rayservice.yaml").read_text()))["spec"]
    return service


def without_installing(value: Any) -> Any:
    """The same config without its runtime_env: what they install is here already."""
    if isinstance(value, list):
        return [without_installing(item) for item in value]
    if isinstance(value, dict):
        return {key: without_installing(item) for key, item in value.items() if key != "runtime_env"}
    return value


def config(port: int) -> Yaml:
    """serveConfigV2 with the engines replaced and a port of this test's."""
    adapted: Yaml = without_installing(yaml.safe_load(manifest()["serveConfigV2"]))
    for app in adapted["applications"]:
        if app["name"] in ENGINES:
            kept = {key: value for key, value in app["args"].items() if key in ("n_workers", "max_waiting")}
            app["args"] = kept | ENGINES[app["name"]]
    adapted["http_options"] = {"host": "127.0.0.1", "port": port}
    return adapted


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Every application, healthy; the address of the ingress."""
    home = Path(os.environ["RAY_AUTH_TOKEN_PATH"]).parent
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAYDIO_TOKEN", TOKEN)
        environment.setenv("RAYDIO_HOME", str(home))
        head = manifest()["rayClusterConfig"]["headGroupSpec"]["resources"]
        ray.init(
            address="local",
            num_cpus=16,
            num_gpus=N_GPUS,
            resources={name: float(amount) for name, amount in head.items() if name != "CPU"},
            include_dashboard=False,
            log_to_driver=False,
            _temp_dir=str(ray_folder(home)),
        )
        port = free_port(8740)
        try:
            deploy(config(port), port)
            yield f"http://127.0.0.1:{port}"
        finally:
            local_ray.stop()


def deploy(serve_config: Yaml, port: int) -> None:
    """Hand the config to Serve's controller, as KubeRay does, and wait."""
    controller = serve_start(
        http_options=HTTPOptions(host="127.0.0.1", port=port), proxy_location=ProxyLocation.HeadOnly
    )
    controller.deploy_apps(ServeDeploySchema.model_validate(serve_config))
    deadline = time.monotonic() + READY_S
    while waiting := not_running():
        failed = {k: v for k, v in waiting.items() if v[0] == ApplicationStatus.DEPLOY_FAILED}
        assert not failed, failed
        assert time.monotonic() < deadline, waiting
        time.sleep(0.2)


def not_running() -> dict[str, tuple[ApplicationStatus, str]]:
    found = serve.status().applications
    wanted = {app["name"] for app in yaml.safe_load(manifest()["serveConfigV2"])["applications"]}
    return {
        name: (found[name].status, found[name].message)
        if name in found
        else (ApplicationStatus.NOT_STARTED, "")
        for name in wanted
        if name not in found or found[name].status != ApplicationStatus.RUNNING
    }


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """One second of something."""
    path = tmp_path / "speech.wav"
    tone = 0.3 * np.sin(np.linspace(0, 2 * np.pi * 220, 16_000, dtype=np.float32))
    soundfile.write(path, tone, 16_000)
    return path


def page(address: str, name: str) -> Client:
    return Client(f"{address}/ui/{name}/", headers=HEADERS, verbose=False)


def test_stages_hold_gpus_and_the_rest_is_on_the_head(address: str) -> None:
    del address
    total, free = ray.cluster_resources(), ray.available_resources()
    assert total["GPU"] - free["GPU"] == pytest.approx(2.0, abs=0.01)  # the manifest's two workers, full
    assert total["head"] - free["head"] == pytest.approx(0.13, abs=0.001)  # six pages, seven others


def test_home_says_what_runs(address: str) -> None:
    answer = httpx.get(f"{address}/ui/", headers={**HEADERS, "Accept": "text/html"}, timeout=30)
    assert answer.status_code == 200
    assert "Raydio" in answer.text


def test_every_door_asks_for_the_token(address: str) -> None:
    for path in ("/ui/", "/ui/chat/config", "/ui/voice/", "/v1/models"):
        assert httpx.get(address + path, timeout=30).status_code == 401, path
    assert httpx.get(f"{address}/ui/chat/healthz", timeout=30).text == "ok"


def test_chat_page_answers(address: str) -> None:
    assert page(address, "chat").predict("Good morning", api_name="/chat") == "Good morning"


def test_embeddings_page_compares_and_finds(address: str) -> None:
    client = page(address, "embeddings")
    lines = ["red apples", "green apples", "a fast train"]
    matrix = np.array(client.predict(lines, api_name="/similarity"))
    assert matrix.shape == (3, 3)
    assert matrix[0, 1] > matrix[0, 2]
    hits = client.predict(lines, "a train", 1, True, api_name="/search")  # noqa: FBT003
    assert [hit["text"] for hit in hits] == ["a fast train"]


def test_stt_page_transcribes(address: str, speech: Path) -> None:
    answer = page(address, "stt").predict(handle_file(speech), api_name="/transcribe")
    assert "heard 1.0 seconds" in str(answer)


def test_tts_page_speaks(address: str) -> None:
    answer = page(address, "tts").predict("Good morning", api_name="/speak")
    samples, rate_hz = soundfile.read(answer if isinstance(answer, str) else answer[0])
    assert rate_hz == 16_000
    assert len(samples) >= 12 * 320  # 20 ms a character


def test_voice_page_hears_answers_and_speaks(address: str, speech: Path) -> None:
    answer = page(address, "voice").predict(handle_file(speech), api_name="/turn")
    assert str(answer).count("heard 1.0 seconds") >= 2  # what was said, and the echo


def test_api_answers(address: str) -> None:
    body = {"model": "Echo", "messages": [{"role": "user", "content": "Good morning"}]}
    answer = httpx.post(f"{address}/v1/chat/completions", headers=HEADERS, json=body, timeout=30).json()
    assert answer["choices"][0]["message"]["content"] == "Good morning"


def test_documents_are_added_found_and_answered_from(address: str) -> None:
    """Every arrow of a turn over documents is a handle here; the model says its question back."""
    with httpx.Client(base_url=address, headers=HEADERS, timeout=60) as client:
        collection = client.get("/v1/collections").json()["data"][0]["id"]
        text = b"# Opening hours\n\nThe observatory opens at nine in the evening.\n"
        file = {"files": ("observatory.md", text)}
        report = client.post(f"/v1/collections/{collection}/documents", files=file).json()
        assert report["n_added"] == 1, report
        # Other tests of this run share the home, and their collections are made by other models.
        question = {"query": "when does the observatory open", "min_score": -1, "collections": [collection]}
        answer = client.post("/chat", json=question).json()
        assert "observatory.md" in answer.get("sources", [{}])[0].get("title", ""), answer
        assert "opens at nine" in answer["response"]
        page = client.get("/" + answer["sources"][0]["url"], headers={"accept": "text/html"})
        assert "<mark" in page.text
        deleted = client.delete(f"/v1/documents/{answer['sources'][0]['document_id']}").json()
        assert deleted["n_remaining"] == 0
        assert client.post("/chat", json=question).json()["sources"] == []


def test_a_conversation_is_kept(address: str) -> None:
    with httpx.Client(base_url=address, headers=HEADERS, timeout=60) as client:
        client.post("/v1/conversations", json={"text": "Good morning"}).raise_for_status()
        found = client.get("/v1/conversations").json()["data"][0]
        opened = client.get(f"/v1/conversations/{found['id']}").json()
        assert [message["text"] for message in opened["messages"]] == ["Good morning", "Good morning"]


def test_api_holds_a_live_session(address: str) -> None:
    """On a cluster the session's conductors are behind handles."""
    with connect(f"{address.replace('http', 'ws')}/v1/realtime", additional_headers=HEADERS) as socket:
        content = [{"type": "input_text", "text": "Good morning"}]
        item = {"type": "message", "role": "user", "content": content}
        socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
        socket.send(json.dumps({"type": "response.create"}))
        events = [json.loads(socket.recv(timeout=30))]
        while events[-1]["type"] != "response.done":
            events.append(json.loads(socket.recv(timeout=30)))
        assert events[-1]["response"]["output"][0]["content"][0]["transcript"].strip() == "Good morning"
        assert "response.output_audio.delta" in {event["type"] for event in events}


def test_a_killed_stage_comes_back(address: str) -> None:
    """Its replica is killed; the page answers again, from a new one."""
    (before,) = replicas_of("llm")
    before.kill()
    assert page(address, "chat").predict("Still there?", api_name="/chat") == "Still there?"
    assert before not in replicas_of("llm")


def replicas_of(application: str) -> list[psutil.Process]:
    return running_with(f"ServeReplica:{application}:")
