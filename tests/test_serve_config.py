from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from serve_apps.args import LlmArgs, StageArgs
from serve_apps.errors import ConfigError
from serve_apps.serve_config import EMBEDDED, load, validate

LLM = {"name": "llm", "route_prefix": None, "import_path": "serve_apps.llm:app"}


def config(**llm: object) -> dict[str, Any]:
    return {"applications": [{**LLM, **llm}]}


def test_the_embedded_config_is_valid_and_names_its_models() -> None:
    embedded = load(EMBEDDED)
    names = ["front", "stt", "embeddings", "reranker", "knowledge", "llm", "tts"]
    assert [a.name for a in embedded.applications] == names
    assert embedded.models() == ["moonshine-tiny-en", "all-minilm-l6-v2", "smollm2-135m-instruct"]
    assert embedded.host == "127.0.0.1"


def test_args_are_typed() -> None:
    (llm,) = validate(config(args={"n_workers": 2})).applications
    assert isinstance(llm.args, LlmArgs)
    assert llm.args.n_workers == 2


@pytest.mark.parametrize(
    ("broken", "place", "hint"),
    [
        ({"aplications": []}, "the config", "'applications'"),
        (config(import_pth="x"), "applications 'llm'", "'import_path'"),
        (config(args={"modle": "x"}), "args of the application 'llm'", "'model'"),
        (
            config(deployments=[{"name": "llm", "max_concurrent_queries": 5}]),
            "deployments 'llm'",
            "'max_ongoing",
        ),
        (
            config(deployments=[{"name": "llm", "ray_actor_options": {"num_gpu": 1}}]),
            "ray_actor_options",
            "'num_gpus'",
        ),
        (
            config(deployments=[{"name": "llm", "autoscaling_config": {"min_replica": 1}}]),
            "autoscaling_config",
            "'min_replicas'",
        ),
        ({**config(), "http_options": {"prot": 1}}, "http_options", "'port'"),
    ],
    ids=["top", "application", "args", "deployment", "resources", "autoscaling", "http"],
)
def test_unknown_keys_are_refused_with_the_nearest_name(
    broken: dict[str, Any], place: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        validate(broken)
    assert place in refused.value.message
    assert hint in refused.value.hint


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (config(import_path="serve_apps.lm:app"), "serve_apps.lm"),
        (config(import_path="serve_apps.llm:ap"), "ap"),
        (config(args={"n_workers": 0}), "n_workers"),
        (config(args={"n_workers": "many"}), "n_workers"),
        ({"applications": "llm"}, "applications"),
        ({"applications": [LLM, LLM]}, "multiple configs"),
    ],
)
def test_wrong_values_are_refused(broken: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(broken)


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Cannot read"):
        load(tmp_path / "absent.yaml")
    for text in ("a: [1", "just words"):
        (tmp_path / "c.yaml").write_text(text)
        with pytest.raises(ConfigError):
            load(tmp_path / "c.yaml")


def test_deployment_options_of_the_config_reach_the_application() -> None:
    """Fails when Ray moves the attribute that ApplicationConfig.build reaches into."""
    options = {
        "name": "llm",
        "num_replicas": 2,
        "max_ongoing_requests": 7,
        "ray_actor_options": {"num_gpus": 0.5},
    }
    (llm,) = validate(config(deployments=[options])).applications
    deployment = llm.build()._bound_deployment
    assert deployment.num_replicas == 2
    assert deployment.max_ongoing_requests == 7
    assert deployment.ray_actor_options["num_gpus"] == 0.5


def test_every_stage_takes_stage_args() -> None:
    stages = {a.name: a.args for a in load(EMBEDDED).applications if isinstance(a.args, StageArgs)}
    assert sorted(stages) == sorted(["stt", "embeddings", "reranker", "llm", "tts"])


def test_the_embedded_config_file_needs_no_other_schema() -> None:
    assert set(yaml.safe_load(EMBEDDED.read_text())) <= {"proxy_location", "http_options", "applications"}


KNOWLEDGE = {"name": "knowledge", "route_prefix": None, "import_path": "serve_apps.one_call_knowledge:app"}
ONE_CALL = {"retrieval": {"in_one_call": True}}


@pytest.mark.parametrize("name", ["embeddings", "reranker"])
def test_one_call_knowledge_has_the_models_of_the_stages(name: str) -> None:
    other = {"name": name, "route_prefix": None, "import_path": f"serve_apps.{name}:app"}
    validate({"applications": [KNOWLEDGE, other]})
    with pytest.raises(ConfigError, match=name) as refused:
        validate({"applications": [KNOWLEDGE, {**other, "args": {"model": "bge"}}]})
    assert refused.value.hint == "Give both the same model."


@pytest.mark.parametrize(
    "caller",
    [
        {"import_path": "serve_apps.front:app", "args": {"conductor": ONE_CALL}},
        {"import_path": "serve_apps.chat:app", "args": ONE_CALL},
        {"import_path": "serve_apps.api:app", "args": ONE_CALL},
    ],
    ids=["front", "chat", "api"],
)
def test_who_finds_in_one_call_needs_a_stage_that_can(caller: dict[str, Any]) -> None:
    asks = {"name": "front", "route_prefix": "/", **caller}
    validate({"applications": [asks, KNOWLEDGE]})
    with pytest.raises(ConfigError, match="in_one_call"):
        validate({"applications": [asks, {**KNOWLEDGE, "import_path": "serve_apps.knowledge:app"}]})


def test_models_inside_a_stage_are_known() -> None:
    inside = {**KNOWLEDGE, "args": {"embeddings": {"model": "a"}, "reranker": {"model": "b"}}}
    assert validate({"applications": [inside]}).models() == ["a", "b"]
