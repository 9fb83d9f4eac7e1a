"""The frame of every page: header with links and model health, errors shown where they happened."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

import gradio as gr

from serve_apps.contracts import Clients, Cluster
from serve_apps.errors import RaydioError
from serve_apps.settings import ASSETS
from ui.scripts import scripted

PAGES = {
    "home": "Home",
    "chat": "Chat",
    "voice": "Voice",
    "stt": "Speech to text",
    "tts": "Text to speech",
    "embeddings": "Embeddings",
}
"""Every page's word and what people call it, in the header's order."""
HEALTH_DEADLINE_S = 1.0
HEALTH_KEPT_S = 1.0
"""One question to the cluster answers all tabs that ask within this time."""
FILES_DELETED_S = (1_800, 21_600)
"""How often files that people sent or made are looked through, and how old they get."""
Handler = Callable[..., AsyncIterator[Any]]


N_AT_ONCE = 64
"""Handlers of one kind at work at the same time; the stages' own queues decide who waits."""
QUEUE_LIMIT = 256
"""Gradio refuses more waiting events than this with a clear message."""


@contextmanager
def page(
    name: str,
    title: str,
    clients: Clients,
    stages: Sequence[str],
    *,
    lead: str = "",
    heading: bool = True,
) -> Iterator[gr.Blocks]:
    """Open a page: `with shell.page("tts", "Text to speech", clients, ["tts"]) as blocks:`.

    Args:
        name: the page's word, as in `/ui/<name>/`; `home` is at `/ui/`.
        title: for people and the browser tab.
        clients: what the header asks about health.
        stages: the stages this page needs, in route order.
        lead: one line under the title that says what the page is for.
        heading: show the title; without, only screen readers find it.
    """
    with gr.Blocks(
        title=f"{title} · Raydio", analytics_enabled=False, fill_width=True, delete_cache=FILES_DELETED_S
    ) as blocks:
        gr.HTML(
            header(name, stages),
            server_functions=[_health_question(clients.cluster, stages)],
            apply_default_css=False,
            elem_classes="ray-frame",
            **scripted("shell.js"),
        )
        with gr.Column(elem_id="ray-main", elem_classes=["ray-main", f"ray-page-{name}"]):
            gr.HTML(_title(title, lead, heading=heading), js_on_load=None, apply_default_css=False)
            yield blocks
    # Gradio's defaults are one event at a time for all users, and a queue without an end.
    blocks.queue(default_concurrency_limit=N_AT_ONCE, max_size=QUEUE_LIMIT)


@contextmanager
def shown() -> Iterator[None]:
    """Around a page's handler: a RaydioError becomes a gr.Error that says what to do."""
    try:
        yield
    except RaydioError as error:
        raise gr.Error(error_html(error), title=_error_title(error), print_exception=False) from error


@contextmanager
def told() -> Iterator[None]:
    """Around a named endpoint: the same as `shown`, in plain words, because programs read it."""
    try:
        yield
    except RaydioError as error:
        raise gr.Error(str(error), title=_error_title(error), print_exception=False) from error


def error_html(error: RaydioError) -> str:
    """What happened and what to do, escaped: messages may quote what the user typed."""
    hint = f"<br>{escape(error.hint)}" if error.hint else ""
    return escape(error.message) + hint


def _error_title(error: RaydioError) -> str:
    return {400: "Please check", 429: "Busy", 503: "Not ready"}.get(error.status, "That did not work")


def link(to: str, *, here: str) -> str:
    """The relative address of page `to` from page `here`; the same behind any host and prefix."""
    up = "" if here == "home" else "../"
    down = "" if to == "home" else f"{to}/"
    return f"{up}{down}" or "./"


def header(name: str, stages: Sequence[str]) -> str:
    """The header's HTML; `assets/shell.js` brings its dots and its theme button to life."""
    links = "".join(_nav_item(to, label, here=name) for to, label in PAGES.items())
    dots = "".join(_dot(stage) for stage in stages)
    logo = (ASSETS / "logo.svg").read_text()
    health = (
        '<details class="ray-health"><summary aria-label="Models">'
        f'<span class="ray-dots" aria-hidden="true">{dots}</span>'
        '<span class="ray-health-word">Models</span></summary><ul class="ray-health-list"></ul></details>'
    )
    return (
        '<a class="ray-skip" href="#ray-main">Skip to the content</a>'
        '<header class="ray-header"><div class="ray-header-inner">'
        f'<a class="ray-mark" href="{link("home", here=name)}" aria-label="Raydio, home">{logo}'
        f"<b>Raydio</b></a>"
        f'<nav aria-label="Pages"><ul>{links}</ul></nav>{health if stages else ""}'
        '<button type="button" class="ray-theme" aria-label="Colours: as the system"></button>'
        '</div><div class="ray-spoken" role="status"></div></header>'
    )


def _nav_item(to: str, label: str, *, here: str) -> str:
    current = ' aria-current="page"' if to == here else ""
    return f'<li><a href="{link(to, here=here)}"{current}>{label}</a></li>'


def _dot(stage: str) -> str:
    return f'<span class="ray-dot" data-stage="{escape(stage)}" data-status="unknown"></span>'


def _title(title: str, lead: str, *, heading: bool) -> str:
    hidden = "" if heading else ' class="ray-hidden"'
    after = f'<p class="ray-lead">{escape(lead)}</p>' if lead else ""
    return f'<div class="ray-title"><h1{hidden}>{escape(title)}</h1>{after}</div>'


def _health_question(cluster: Cluster, stages: Sequence[str]) -> Callable[[Any], Any]:
    """The function that the header's script calls; outside Gradio's queue, so it holds no slot."""
    kept: tuple[float, list[dict[str, str]]] = (float("-inf"), [])

    async def health(_data: Any = None) -> list[dict[str, str]]:
        nonlocal kept
        if time.monotonic() - kept[0] > HEALTH_KEPT_S:
            kept = (time.monotonic(), await stage_health(cluster, stages))
        return kept[1]

    return health


async def stage_health(cluster: Cluster, stages: Sequence[str]) -> list[dict[str, str]]:
    """Name, status and reason of each stage, never later than HEALTH_DEADLINE_S."""
    try:
        async with asyncio.timeout(HEALTH_DEADLINE_S):
            applications = {found.name: found for found in await cluster.applications()}
    except (RaydioError, TimeoutError):
        return [{"stage": s, "status": "unknown", "message": "The cluster did not answer."} for s in stages]
    return [
        {"stage": s, "status": applications[s].status, "message": applications[s].message}
        if s in applications
        else {"stage": s, "status": "absent", "message": "It is not in the configuration."}
        for s in stages
    ]
