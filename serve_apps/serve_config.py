"""The one configuration format: a Serve config file, read strictly.

Ray's own schema ignores unknown keys; here a misspelt key is refused with the nearest known name, and
every application's `args` are checked against its builder's model before anything starts.
"""

from __future__ import annotations

import difflib
import importlib
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from ray.serve import Application
from ray.serve.schema import ServeApplicationSchema, ServeDeploySchema

from serve_apps.args import ApiArgs, Args, ConductorArgs, FrontArgs, OneCallKnowledgeArgs, StageArgs
from serve_apps.errors import ConfigError

EMBEDDED = Path(__file__).parent / "embedded.yaml"
"""The config for one machine without a GPU: what `raydio up` runs when none is named."""

Builder = Callable[[Args], Application]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationConfig:
    """One application, checked."""

    name: str
    route_prefix: str | None
    builder: Builder
    args: Args
    deployments: dict[str, dict[str, Any]]
    """Deployment name to the options that the config sets on it."""

    def build(self) -> Application:
        """The application to deploy, with the config's deployment options applied.

        `serve.run_many` takes no options beside the application, and `Application` offers no public way
        to change its deployment, so this reaches into it; tests/test_serve_config.py fails when Ray moves it.
        """
        application = self.builder(self.args)
        bound = application._bound_deployment  # noqa: SLF001
        options = self.deployments.get(bound.name, {})
        if options:
            application._bound_deployment = bound.options(**options)  # noqa: SLF001
        return application


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployConfig:
    """A whole Serve config, checked."""

    applications: tuple[ApplicationConfig, ...]
    host: str
    port: int

    def models(self) -> list[str]:
        """Every model that a stage of this config names, without repeats."""
        stages = chain.from_iterable(_stages(one.args) for one in self.applications)
        return list(dict.fromkeys(args.model for args in stages if args.model))


def load(path: Path) -> DeployConfig:
    """Read and check a Serve config file.

    Raises:
        ConfigError: unreadable, not YAML, unknown or wrong keys; the message names the place.
    """
    try:
        config = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(
            f"Cannot read the config {path}: {error.strerror}.", "Name a Serve config file."
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}.", "Correct it at the place named.") from error
    if not isinstance(config, dict):
        raise ConfigError(f"{path} holds no Serve config.", "It needs a mapping with `applications:`.")
    return validate(config)


def validate(config: dict[str, Any]) -> DeployConfig:
    """Check a Serve config (the mapping that `serveConfigV2` holds as text).

    Raises:
        ConfigError: unknown or wrong keys, import paths that do not import, args that do not fit.
    """
    for place, key, known in unknown_keys(config, ServeDeploySchema):
        raise ConfigError(f"Unknown key {key!r} in {place}.", _nearest(key, known))
    try:
        schema = ServeDeploySchema.model_validate(config)
    except ValidationError as error:
        raise ConfigError(
            f"The Serve config is wrong: {_first(error)}.", "Correct it and try again."
        ) from error
    http = schema.http_options
    explicit = config.get("http_options") or {}
    applications = tuple(_application(app) for app in schema.applications)
    _check_one_call(applications)
    return DeployConfig(
        applications=applications,
        host=explicit.get("host", "127.0.0.1"),
        port=http.port,
    )


def _stages(args: Args) -> list[StageArgs]:
    """The stages that an application runs: itself, or those in it."""
    parts = [args, *(value for _, value in args)]
    return [part for part in parts if isinstance(part, StageArgs)]


def _check_one_call(applications: Sequence[ApplicationConfig]) -> None:
    """Whoever finds passages in one call needs a knowledge stage that can, with the models of the others."""
    args = {one.name: one.args for one in applications}
    knowledge = args.get("knowledge")
    if isinstance(knowledge, OneCallKnowledgeArgs):
        for name, own in (("embeddings", knowledge.embeddings), ("reranker", knowledge.reranker)):
            other = args.get(name)
            if isinstance(other, StageArgs) and other.model != own.model:
                raise ConfigError(
                    f"The knowledge application has {own.model!r} for {name}, the {name} application"
                    f" {other.model!r}.",
                    "Give both the same model.",
                )
    elif knowledge is not None and any(_finds_in_one_call(one) for one in args.values()):
        raise ConfigError(
            "retrieval.in_one_call needs a knowledge application that embeds and reranks itself.",
            "Import it from serve_apps.one_call_knowledge:app, or leave in_one_call out.",
        )


def _finds_in_one_call(args: Args) -> bool:
    if isinstance(args, FrontArgs):
        args = args.conductor
    return isinstance(args, ConductorArgs | ApiArgs) and args.retrieval.in_one_call


def unknown_keys(
    value: object, model: type[BaseModel], place: str = "the config"
) -> Iterator[tuple[str, str, list[str]]]:
    """Every key that `model` (or a model inside it) does not know: (place, key, known keys)."""
    if not isinstance(value, Mapping):
        return
    for key, child in value.items():
        field = model.model_fields.get(key)
        if field is None:
            yield place, key, list(model.model_fields)
            continue
        inner = _model_in(field.annotation)
        if inner is not None:
            for index, item in enumerate(child if isinstance(child, list) else [child]):
                name = (
                    item.get("name", index) if isinstance(item, Mapping) and isinstance(child, list) else None
                )
                yield from unknown_keys(item, inner, key if name is None else f"{key} {name!r}")


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = [m for part in typing.get_args(annotation) if (m := _model_in(part)) is not None]
    return found[0] if len(found) == 1 else None


def _application(schema: ServeApplicationSchema) -> ApplicationConfig:
    builder = _builder(schema)
    options = [d.model_dump(exclude_unset=True) for d in schema.deployments]
    return ApplicationConfig(
        name=schema.name,
        route_prefix=schema.route_prefix,
        builder=builder,
        args=_args(schema, builder),
        deployments={o.pop("name"): o for o in options},
    )


def _builder(schema: ServeApplicationSchema) -> Builder:
    module, _, attribute = schema.import_path.replace(":", ".").rpartition(".")
    try:
        builder: Builder = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"The application {schema.name!r} cannot be imported from {schema.import_path!r}: {error}.",
            "import_path is package.module:builder.",
        ) from error
    if not callable(builder):
        raise ConfigError(
            f"{schema.import_path!r}, of the application {schema.name!r}, is not a builder.",
            "import_path is package.module:builder.",
        )
    return builder


def _args(schema: ServeApplicationSchema, builder: Builder) -> Args:
    model = next(iter(typing.get_type_hints(builder).values()))
    for place, key, known in unknown_keys(schema.args, model, f"args of the application {schema.name!r}"):
        raise ConfigError(f"Unknown key {key!r} in {place}.", _nearest(key, known))
    try:
        args: Args = model.model_validate(schema.args)
    except ValidationError as error:
        raise ConfigError(
            f"The args of {schema.name!r} are wrong: {_first(error)}.", "Correct them and try again."
        ) from error
    return args


def _nearest(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else f"Known keys are {', '.join(sorted(known))}."


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
