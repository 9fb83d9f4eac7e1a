"""The Ray cluster underneath: its environment, deploying a config to it, and what runs on it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from ray import serve
from ray.serve._private.common import ReplicaState
from ray.serve.schema import ApplicationStatusOverview

from serve_apps.serve_config import ApplicationConfig
from serve_apps.wire import ApplicationStatus

Health = Literal["starting", "healthy", "unhealthy", "failed", "absent"]

_STATUS: dict[str, Health] = {
    "NOT_STARTED": "starting",
    "DEPLOYING": "starting",
    "RUNNING": "healthy",
    "UNHEALTHY": "unhealthy",
    "DEPLOY_FAILED": "failed",
    "DELETING": "absent",
}
ROUTE_ORDER = (
    "front",
    "home",
    "api",
    "voice",
    "stt",
    "chat",
    "embeddings",
    "knowledge",
    "reranker",
    "llm",
    "tts",
)


def deploy(applications: Iterable[ApplicationConfig]) -> None:
    """Build applications in this process and hand them to Serve together, without waiting.

    Building here instead of in a task of the cluster's saves a process start each.
    """
    targets = [
        serve.RunTarget(target=one.build(), name=one.name, route_prefix=one.route_prefix)
        for one in applications
    ]
    serve.run_many(targets, wait_for_applications_running=False)


def statuses() -> list[ApplicationStatus]:
    """Every application that Serve knows, in route order. Blocks for about 20 ms."""
    found = serve.status().applications
    return [_status(name, found[name]) for name in sorted(found, key=_place)]


def _place(name: str) -> tuple[int, str]:
    return (ROUTE_ORDER.index(name) if name in ROUTE_ORDER else len(ROUTE_ORDER), name)


def _status(name: str, overview: ApplicationStatusOverview) -> ApplicationStatus:
    deployments = overview.deployments.values()
    messages = [overview.message, *(d.message for d in deployments)]
    return ApplicationStatus(
        name=name,
        status=_STATUS[overview.status.value],
        message=_cause(next((m for m in messages if m), "")),
        n_replicas=sum(d.replica_states.get(ReplicaState.RUNNING, 0) for d in deployments),
        n_replicas_target=sum(sum(d.replica_states.values()) for d in deployments),
    )


def _cause(message: str) -> str:
    """The one line of a Serve status message that says why: the last of its traceback, or its first."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    errors = [
        line
        for line in lines
        if line.partition(":")[0].endswith(("Error", "Exception", "Failed", "Overflow"))
    ]
    return (errors or lines or [""])[-1 if errors else 0]
