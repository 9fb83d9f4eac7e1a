"""Home: what runs, what each page is for, how programs call the same models."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from html import escape
from typing import Any

import gradio as gr

from serve_apps.contracts import Clients, Described
from serve_apps.errors import RaydioError
from serve_apps.wire import ApplicationStatus, StageReport
from ui import shell
from ui.scripts import scripted
from ui.stats import milliseconds, size

STAGES = ("llm", "stt", "tts", "embeddings", "reranker", "knowledge")
DEADLINE_S = 1.0
"""A stage that has not described itself by then shows without its model."""
KEPT_S = 1.0
"""One look at the cluster answers all tabs that ask within this time."""
PURPOSES = {
    "chat": "Ask, over your own documents if you like: each statement shows where it comes from.",
    "voice": "Talk, hands free, and interrupt it; the answer is spoken while it is still being written.",
    "stt": "Turn a recording or your microphone into text, with word times and subtitles.",
    "tts": "Turn text into speech that starts playing at once. Choose voice, language and speed.",
    "embeddings": "Search your documents in several ways side by side; see why, and see them on a map.",
}
WORKS = {"front": "Pages, API and conductors"}
COLUMNS = ("Application", "Status", "Model", "Engine", "Size", "Licence", "Replicas", "Last request")
WORDS = {
    "fetching": "Fetching weights",
    "starting": "Starting",
    "healthy": "Healthy",
    "unhealthy": "Unwell",
    "failed": "Failed",
    "absent": "Not running",
}
CURL = """curl {base}/chat/completions \\
  -H "Authorization: Bearer $RAYDIO_TOKEN" -H "Content-Type: application/json" \\
  -d '{{"model": "llm", "messages": [{{"role": "user", "content": "Hello"}}]}}'"""
PYTHON = """import os
from openai import OpenAI

client = OpenAI(base_url="{base}", api_key=os.environ["RAYDIO_TOKEN"])
answer = client.chat.completions.create(
    model="llm", messages=[{{"role": "user", "content": "Hello"}}]
)
print(answer.choices[0].message.content)"""


def build(clients: Clients) -> gr.Blocks:
    """The home page; it loads, and stays readable, while no stage is up."""
    with shell.page(
        "home",
        "Home",
        clients,
        STAGES,
        lead="Chat, voice and speech with models that run on your own machines. Nothing leaves them.",
        heading=False,
    ) as blocks:
        gr.HTML(
            f"{_doors()}{_running()}{_api()}",
            server_functions=[_overview_question(clients)],
            apply_default_css=False,
            **scripted("home.js"),
        )
    return blocks


def _doors() -> str:
    cards = "".join(
        f'<li><a href="{shell.link(name, here="home")}"><b>{shell.PAGES[name]}</b>'
        f"<span>{escape(purpose)}</span></a></li>"
        for name, purpose in PURPOSES.items()
    )
    return f'<ul class="ray-doors">{cards}</ul>'


def _running() -> str:
    return (
        '<section class="ray-section" aria-labelledby="ray-running"><h2 id="ray-running">What runs</h2>'
        '<div class="ray-table">'
        '<p class="ray-quiet">Asking the cluster…</p></div></section>'
    )


def _api() -> str:
    snippets = "".join(_snippet(title, text) for title, text in {"curl": CURL, "Python": PYTHON}.items())
    return (
        '<section class="ray-section" aria-labelledby="ray-api"><h2 id="ray-api">Call it from a program</h2>'
        '<p class="ray-quiet">The same models answer in the OpenAI format at '
        '<code class="ray-base">/v1</code>. '
        "<code>raydio token</code> prints the access token; keep it in <code>RAYDIO_TOKEN</code>.</p>"
        f'<div class="ray-codes">{snippets}</div></section>'
    )


def _snippet(title: str, text: str) -> str:
    """Code with a copy button; the script puts this machine's address in the place of BASE."""
    code = escape(text.format(base="BASE"))
    return (
        f'<figure class="ray-code"><figcaption>{title}'
        f'<button type="button" data-copy aria-label="Copy the {title} example">Copy</button></figcaption>'
        f'<pre tabindex="0" aria-label="{title}"><code data-template="{code}">{code}</code></pre></figure>'
    )


def _overview_question(clients: Clients) -> Callable[[Any], Coroutine[Any, Any, dict[str, Any]]]:
    kept: tuple[float, dict[str, Any]] = (float("-inf"), {})

    async def overview(_data: Any = None) -> dict[str, Any]:
        nonlocal kept
        if time.monotonic() - kept[0] > KEPT_S:
            kept = (time.monotonic(), await look(clients))
        return kept[1]

    return overview


async def look(clients: Clients) -> dict[str, Any]:
    """The table as escaped HTML, and whether all is well (then the page asks less often)."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            applications = await clients.cluster.applications()
    except (RaydioError, TimeoutError) as error:
        reason = error.message if isinstance(error, RaydioError) else "It did not answer in time."
        return {
            "html": f'<p class="ray-quiet">The cluster cannot be asked: {escape(reason)}</p>',
            "well": False,
        }
    reports = await asyncio.gather(*(_report(clients, application) for application in applications))
    well = all(application.status == "healthy" for application in applications)
    return {"html": table(applications, reports), "well": well}


async def _report(clients: Clients, application: ApplicationStatus) -> StageReport | None:
    if application.name not in STAGES or application.status != "healthy":
        return None
    stage: Described = getattr(clients, application.name)
    try:
        async with asyncio.timeout(DEADLINE_S):
            return await stage.describe()
    except (RaydioError, TimeoutError):
        return None


def table(applications: Sequence[ApplicationStatus], reports: Sequence[StageReport | None]) -> str:
    """One row an application."""
    if not applications:
        return '<p class="ray-quiet">No application is deployed. Start them with: raydio up</p>'
    head = "".join(f'<th scope="col">{column}</th>' for column in COLUMNS)
    body = "".join(_row(found, report) for found, report in zip(applications, reports, strict=True))
    return (
        '<table class="ray-apps"><caption class="ray-hidden">Applications and their models</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _row(found: ApplicationStatus, report: StageReport | None) -> str:
    card = report.card if report else None
    why = f'<small class="ray-why">{escape(found.message)}</small>' if found.message else ""
    status = f'<i class="ray-dot" data-status="{found.status}"></i>{WORDS[found.status]}'
    facts = [
        f'<span data-status="{found.status}">{status}</span>{why}',
        escape(card.model if card else WORKS.get(found.name, "")),
        escape(card.engine if card else ""),
        size(card.size_bytes) if card and card.size_bytes else "",
        escape(card.licence if card else ""),
        f"{found.n_replicas} of {found.n_replicas_target}",
        _latency(report),
    ]
    cells = "".join(
        f'<td data-label="{column}">{fact or "&ndash;"}</td>'
        for column, fact in zip(COLUMNS[1:], facts, strict=True)
    )
    return f'<tr><th scope="row">{escape(found.name)}</th>{cells}</tr>'


def _latency(report: StageReport | None) -> str:
    if report is None or report.last_first_output_ms is None:
        return ""
    whole = "" if report.last_duration_ms is None else f" / {milliseconds(report.last_duration_ms)}"
    return f'<span title="first output / whole">{milliseconds(report.last_first_output_ms)}{whole}</span>'
