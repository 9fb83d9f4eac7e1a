"""rayservice.yaml, checked as strictly as a cluster would, and more strictly than Serve does."""

from __future__ import annotations

import copy
import importlib
import inspect
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from serve_apps.args import PAGES, FrontArgs
from serve_apps.errors import ConfigError
from serve_apps.ray_environment import MAX_CALL_BYTES
from serve_apps.serve_config import validate

ROOT = Path(__file__).parents[1]
CRD = ROOT.parent / "shared" / "data" / "kuberay-1.7.0-rayservices-crd.yaml"
SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|API_?KEY", re.IGNORECASE)
SECRET_VALUE = re.compile(r"\b(hf_[A-Za-z0-9]{8,}|sk-[A-Za-z0-9]{8,}|[0-9a-f]{32,})\b")
IN_ONE_CALL = {"serve_apps.knowledge:app"}
"""What `one_call_knowledge` is on one machine, beside an encoder and a reranker (decision 0026)."""
IN_FRONT = {
    "serve_apps.gradio_ingress:app",
    "serve_apps.api:app",
    "serve_apps.chat:app",
    "serve_apps.voice:app",
    "serve_apps.conversations:app",
    "serve_apps.ingest:app",
    "serve_apps.seed_door:app",
}

Yaml = dict[str, Any]


def documents() -> list[Yaml]:
    return list(yaml.safe_load_all((ROOT / "rayservice.yaml").read_text()))


@pytest.fixture
def service() -> Yaml:
    return documents()[0]


@pytest.fixture
def cluster(service: Yaml) -> Yaml:
    found: Yaml = service["spec"]["rayClusterConfig"]
    return found


@pytest.fixture
def config(service: Yaml) -> Yaml:
    found: Yaml = yaml.safe_load(service["spec"]["serveConfigV2"])
    return found


def strict(schema: Any) -> Any:
    """A Kubernetes openAPIV3Schema as a JSON schema that refuses what it does not name."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    converted = {key: strict(value) for key, value in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        converted.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        converted["type"] = ["integer", "string"]
    return converted


@pytest.fixture(scope="module")
def kuberay() -> jsonschema.Draft202012Validator:
    if not CRD.exists():
        pytest.skip(f"KubeRay's CRD is not at {CRD}: get it from the KubeRay 1.7.0 release to run this.")
    crd = yaml.load(CRD.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    version = next(v for v in crd["spec"]["versions"] if v["name"] == "v1")
    return jsonschema.Draft202012Validator(strict(version["schema"]["openAPIV3Schema"]))


def test_kuberay_accepts_the_manifest(kuberay: jsonschema.Draft202012Validator, service: Yaml) -> None:
    errors = [f"{error.json_path}: {error.message[:200]}" for error in kuberay.iter_errors(service)]
    assert errors == []
    assert service["apiVersion"] == "ray.io/v1"
    assert service["kind"] == "RayService"


def head(service: Yaml) -> Yaml:
    found: Yaml = service["spec"]["rayClusterConfig"]["headGroupSpec"]
    return found


@pytest.mark.parametrize(
    ("place", "right", "wrong"),
    [
        (lambda s: s["spec"], "serveConfigV2", "serveConfig"),
        (lambda s: s["spec"]["upgradeStrategy"], "type", "kind"),
        (lambda s: s["spec"]["rayClusterConfig"], "rayVersion", "version"),
        (lambda s: s["spec"]["rayClusterConfig"]["authOptions"], "mode", "authMode"),
        (lambda s: s["spec"]["rayClusterConfig"]["workerGroupSpecs"][0], "minReplicas", "minReplica"),
        (head, "resources", "resource"),
        (lambda s: head(s)["template"]["spec"], "containers", "container"),
        (lambda s: head(s)["template"]["spec"]["containers"][0], "env", "environment"),
        (lambda s: head(s)["template"]["spec"]["containers"][0]["env"][0], "valueFrom", "valuefrom"),
    ],
    ids=lambda value: value if isinstance(value, str) else "in",
)
def test_kuberay_refuses_a_misspelt_key(
    kuberay: jsonschema.Draft202012Validator,
    service: Yaml,
    place: Callable[[Yaml], Yaml],
    right: str,
    wrong: str,
) -> None:
    spot = place(service)
    spot[wrong] = spot.pop(right)
    assert any(wrong in error.message for error in kuberay.iter_errors(service))


def test_serve_config_is_valid(config: Yaml) -> None:
    """Every key is known to Serve, every import_path imports, all args fit their model."""
    assert len(validate(config).applications) == len(config["applications"])


def test_every_builder_lets_serve_validate_its_args(config: Yaml) -> None:
    """Serve passes plain dicts to a builder whose annotation is a string, as postponed ones are."""
    for app in config["applications"]:
        module, _, name = app["import_path"].partition(":")
        (parameter,) = inspect.signature(getattr(importlib.import_module(module), name)).parameters.values()
        assert inspect.isclass(parameter.annotation), app["import_path"]


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (lambda c: c, "proxy_locations"),
        (lambda c: c["http_options"], "hosts"),
        (lambda c: c["logging_config"], "enable_acces_log"),
        (lambda c: c["applications"][0], "route_prefixes"),
        (lambda c: c["applications"][0]["args"], "pages"),
        (lambda c: c["applications"][0]["deployments"][0], "max_concurrent_queries"),
        (lambda c: c["applications"][0]["deployments"][0]["ray_actor_options"], "num_cpu"),
        (lambda c: named(c, "llm")["args"], "modle"),
        (lambda c: named(c, "llm")["deployments"][0]["autoscaling_config"], "min_replica"),
    ],
    ids=lambda value: value if isinstance(value, str) else "in",
)
def test_serve_config_refuses_an_unknown_key(config: Yaml, place: Callable[[Yaml], Yaml], wrong: str) -> None:
    config = copy.deepcopy(config)  # anchors make several applications share one dict
    place(config)[wrong] = 1
    with pytest.raises(ConfigError, match=wrong):
        validate(config)


def named(config: Yaml, name: str) -> Yaml:
    return next(app for app in config["applications"] if app["name"] == name)


@pytest.mark.parametrize("import_path", ["serve_apps.lm:app", "serve_apps.llm:application", "serve_apps.llm"])
def test_serve_config_refuses_an_import_path_that_leads_nowhere(config: Yaml, import_path: str) -> None:
    named(config, "llm")["import_path"] = import_path
    with pytest.raises(ConfigError):
        validate(config)


def test_cluster_and_laptop_run_the_same_builders(config: Yaml) -> None:
    embedded = yaml.safe_load((ROOT / "serve_apps" / "embedded.yaml").read_text())
    local = {app["import_path"] for app in embedded["applications"]}
    together = {"serve_apps.front:app", "serve_apps.one_call_knowledge:app"}
    assert local >= together
    remote = {app["import_path"] for app in config["applications"]}
    assert remote - IN_FRONT - IN_ONE_CALL == local - together
    assert remote >= IN_FRONT | IN_ONE_CALL


def test_every_page_of_the_laptop_is_an_application(config: Yaml) -> None:
    pages = {
        app["args"]["page"]: app["route_prefix"]
        for app in config["applications"]
        if app["import_path"] == "serve_apps.gradio_ingress:app"
    }
    assert pages == {page: "/ui" if page == "home" else f"/ui/{page}" for page in PAGES}
    assert set(FrontArgs().pages) == set(pages)


def test_names_and_routes_are_unique(config: Yaml) -> None:
    names = [app["name"] for app in config["applications"]]
    routes = [app["route_prefix"] for app in config["applications"] if app["route_prefix"] is not None]
    assert len(set(names)) == len(names)
    assert len(set(routes)) == len(routes)


def actors(config: Yaml) -> Iterator[tuple[str, Yaml]]:
    """Application name and actor options of each replica that starts at first."""
    for app in config["applications"]:
        for deployment in app["deployments"]:
            yield app["name"], deployment["ray_actor_options"]


def test_pages_doors_and_conductors_are_on_the_head_and_stages_on_gpus(config: Yaml) -> None:
    on_head = {app["name"] for app in config["applications"] if app["import_path"] in IN_FRONT}
    on_head.add("knowledge")  # a store, not a model: beside its volume
    for name, options in actors(config):
        assert ("head" in options.get("resources", {})) == (name in on_head), name
        assert (options.get("num_gpus", 0) > 0) == (name not in on_head), name
        assert (options["num_cpus"] == 0) == (name in on_head), name


def test_the_head_declares_what_is_asked_of_it(config: Yaml, cluster: Yaml) -> None:
    declared = {name: float(amount) for name, amount in cluster["headGroupSpec"]["resources"].items()}
    assert declared["CPU"] == 0
    asked: dict[str, float] = {}
    for _, options in actors(config):
        for name, amount in options.get("resources", {}).items():
            asked[name] = asked.get(name, 0) + amount
    assert asked.keys() <= declared.keys()
    assert all(amount <= declared[name] for name, amount in asked.items())


def test_the_first_replicas_fit_on_the_workers(config: Yaml, cluster: Yaml) -> None:
    """First fit, largest first: what Ray needs to place all of them at once."""
    group = cluster["workerGroupSpecs"][0]
    assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    resources = group["template"]["spec"]["containers"][0]["resources"]
    worker = {
        "num_gpus": float(resources["limits"]["nvidia.com/gpu"]),
        "num_cpus": float(resources["requests"]["cpu"]),
    }
    free = [dict(worker) for _ in range(group["minReplicas"])]
    stages = [(name, options) for name, options in actors(config) if "num_gpus" in options]
    for name, options in sorted(stages, key=lambda pair: -float(pair[1]["num_gpus"])):
        spot = next((node for node in free if all(node[key] >= options[key] - 1e-9 for key in worker)), None)
        assert spot is not None, f"no worker has room for {name}"
        for key in worker:
            spot[key] -= options[key]


def walk(value: Any) -> Iterator[Any]:
    yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(child)


def test_secrets_are_references_only(config: Yaml) -> None:
    for value in [*walk(documents()), *walk(config)]:
        if isinstance(value, dict) and SECRET_NAME.search(str(value.get("name", ""))):
            assert value.get("valueFrom", {}).get("secretKeyRef"), value["name"]
            assert "value" not in value
        if isinstance(value, str):
            assert not SECRET_VALUE.search(value)


def test_every_pod_gets_the_token_and_serve_settings(cluster: Yaml) -> None:
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        env = {
            entry["name"]: entry.get("value") for entry in group["template"]["spec"]["containers"][0]["env"]
        }
        assert env.keys() >= {"RAYDIO_TOKEN", "RAY_SERVE_THROUGHPUT_OPTIMIZED", "RAY_SERVE_ENABLE_HA_PROXY"}
        assert env["RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH"] == str(MAX_CALL_BYTES)


def test_versions_agree_with_the_project(service: Yaml, config: Yaml, cluster: Yaml) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ray_version = cluster["rayVersion"]
    assert f"ray[serve]=={ray_version}" in project["dependencies"]
    images = {value["image"] for value in walk(service) if isinstance(value, dict) and "image" in value}
    assert all(image.startswith(f"rayproject/ray:{ray_version}-") for image in images)
    for value in walk(config):
        for requirement in value.get("pip", []) if isinstance(value, dict) else []:
            extra = re.fullmatch(rf"raydio(?:\[([a-z-]+)\])?=={re.escape(project['version'])}", requirement)
            assert extra, requirement
            assert extra[1] is None or extra[1] in project["optional-dependencies"]


def test_the_network_policy_covers_every_pod(cluster: Yaml) -> None:
    policy = documents()[1]
    assert policy["kind"] == "NetworkPolicy"
    label = policy["spec"]["podSelector"]["matchLabels"]
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        assert label.items() <= group["template"]["metadata"]["labels"].items()
