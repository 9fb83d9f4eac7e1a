"""Mounts pages as Serve deployments: the only module that sees both `ui` and `serve_apps`.

Ray's own GradioIngress does not work with Gradio 6: it never starts the queue. `mount_gradio_app` inside a
builder does, with theme and limits given to the mount.
"""

# No `from __future__ import annotations`: Serve checks `args:` only against an annotation that is a class.

import importlib

from fastapi import FastAPI
from ray.serve import Application

from serve_apps.args import PageArgs, PageName
from serve_apps.clients import over_handles
from serve_apps.contracts import Clients
from serve_apps.ingress import application
from serve_apps.settings import settings

MIB = 2**20


def page_path(page: PageName) -> str:
    """Where a page is served, without a trailing slash."""
    return "/ui" if page == "home" else f"/ui/{page}"


def mount(app: FastAPI, page: PageName, clients: Clients, path: str) -> None:
    """Build a page in this process and mount it at `path` of `app`.

    Gradio is imported here and not above: the process that deploys needs none of it.
    """
    import gradio as gr  # noqa: PLC0415

    from ui import theme  # noqa: PLC0415

    blocks: gr.Blocks = importlib.import_module(f"ui.{page}").build(clients)
    gr.mount_gradio_app(
        app,
        blocks,
        path=path,
        theme=theme.theme(),
        css=theme.css(),
        head=theme.head(),
        max_file_size=settings().max_upload_mb * MIB,
        show_error=False,
        ssr_mode=False,
        run_history=False,
        enable_monitoring=False,
        mcp_server=False,
        footer_links=[],
    )


def app(args: PageArgs) -> Application:
    """One page as an application of its own; its route prefix in the config is its address."""

    def build() -> FastAPI:
        page = FastAPI(openapi_url=None)
        mount(page, args.page, over_handles(), "/")
        return page

    return application(args.page, build)
