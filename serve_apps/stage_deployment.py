"""How every stage is deployed: the settings of Serve that they share."""

from __future__ import annotations

from typing import Any

from ray import serve
from ray.serve import Deployment

HEALTH_CHECK_PERIOD_S = 1.0
"""A dead replica is noticed, and replaced, at the next check; Serve's default is ten seconds."""
N_CALLS_BESIDE = 64
"""Calls that Serve may deliver beyond the queue: `describe`, and requests that we shed ourselves."""


def stage_deployment(name: str, stage: type[Any], *, n_calls: int) -> Deployment:
    """A deployment of `stage` that takes `n_calls` requests, working or waiting; it sheds more by itself."""
    deployment = serve.deployment(
        name=name,
        max_ongoing_requests=n_calls + N_CALLS_BESIDE,
        health_check_period_s=HEALTH_CHECK_PERIOD_S,
    )
    return deployment(stage)
