"""Who is asking, as the door found out."""

from __future__ import annotations

import gradio as gr
from starlette.requests import Request

from serve_apps import access


def user_of(request: gr.Request | Request) -> str:
    """The user behind an event of a page, or behind a call of one of its server functions.

    Gradio hands events its own request around the real one, and server functions the real one.
    """
    real = request.request if isinstance(request, gr.Request) else request
    return access.user_of(real.scope if real is not None else {})
