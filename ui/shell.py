"""The frame of every page: header with links and model health, errors shown where they happened."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import gradio as gr

from serve_apps.contracts import Clients
from serve_apps.errors import RaydioError


@contextmanager
def page(name: str, title: str, clients: Clients, stages: Sequence[str]) -> Iterator[gr.Blocks]:
    """Open a page: `with shell.page("tts", "Text to speech", clients, ["tts"]) as blocks:`.

    Args:
        name: the page's word, as in `/ui/<name>/`.
        title: for people and the browser tab.
        clients: what the header asks about health.
        stages: the stages this page needs, in route order.
    """
    with gr.Blocks(title=f"{title} · Raydio", analytics_enabled=False) as blocks:
        gr.Markdown(f"# {title}")
        yield blocks


@contextmanager
def shown() -> Iterator[None]:
    """Around a handler's body: a RaydioError becomes a gr.Error that says what to do."""
    try:
        yield
    except RaydioError as error:
        raise gr.Error(str(error), print_exception=False) from error


Handler = Callable[..., AsyncIterator[Any]]
