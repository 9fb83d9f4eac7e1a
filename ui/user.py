"""Who is asking, as the door found out."""

from __future__ import annotations

import gradio as gr

from serve_apps import access


def user_of(request: gr.Request) -> str:
    """The user behind an event of a page."""
    return access.user_of(request.request.scope if request.request is not None else {})
