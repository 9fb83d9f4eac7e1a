"""What the command line asks of a cluster that was there before Raydio. Slow to import, as Ray is."""

from __future__ import annotations

from ray import serve

from serve_apps import cluster, local_ray, run_state
from serve_apps.run_state import RunState


def refreshed(state: RunState) -> RunState:
    """`state` with what the cluster says now."""
    local_ray.connect(state.address)
    found = {status.name: status for status in cluster.statuses()}
    for application in state.applications:
        status = found.get(application.name)
        application.status = status.status if status else "absent"
        application.message = status.message if status else ""
        application.replicas = status.n_replicas if status else 0
    healthy = all(application.status == "healthy" for application in state.applications)
    state.phase = "ready" if healthy else "degraded"
    return state


def delete(state: RunState) -> None:
    """Remove this config's applications from the cluster, and nothing else."""
    local_ray.connect(state.address)
    for application in state.applications:
        serve.delete(application.name)
    state.phase = "stopped"
    run_state.write(state)
