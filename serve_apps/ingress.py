"""A Serve application that answers HTTP, behind a door: what pages, API and front have in common."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI
from ray import serve
from ray.serve import Application
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from serve_apps.access import Credential, token
from serve_apps.asset_cache import AssetCache
from serve_apps.door import Door
from serve_apps.page_compression import PageCompression
from serve_apps.settings import settings

OPEN_TABS = 5000
"""Requests of one replica at once: every open tab holds some for as long as it is open, and Serve's default
of 5 freezes the fifth tab."""
MIB = 2**20
JSON_OVERHEAD = 2
"""A file of the largest size must fit in a request even as text."""


def behind_door(app: FastAPI) -> ASGIApp:
    """`app` behind a door that asks for this installation's token.

    The CORS middleware allows nobody by default; that it is there makes Gradio leave its own out, which would
    reflect any origin, with credentials.
    """
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings().allowed_origins,
        allow_methods=["*"],
        allow_headers=["*"],
    )
    return Door(
        AssetCache(PageCompression(app)),
        credential=Credential(token()),
        allowed_origins=settings().allowed_origins,
        public_url=settings().public_url,
        user_header=settings().user_header,
        max_body_bytes=JSON_OVERHEAD * settings().max_upload_mb * MIB,
    )


def application(name: str, build: Callable[[], FastAPI]) -> Application:
    """A Serve application that answers HTTP with what `build` makes inside its replica, behind a door."""

    def build_behind_door() -> ASGIApp:
        return behind_door(build())

    deployment = serve.deployment(
        name=name,
        max_ongoing_requests=OPEN_TABS,
        ray_actor_options={"num_cpus": 0},
        health_check_period_s=2,
        graceful_shutdown_timeout_s=2,
    )
    return deployment(serve.ingress(build_behind_door)()).bind()
