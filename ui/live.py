"""The live conversation: a component that talks to the session's WebSocket by itself.

Everything happens in the browser: `assets/live/*.js`, joined to the one script that Gradio runs when the
component is there. Python brings the script, the lists of voices and languages, and the example.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any

import gradio as gr

from serve_apps.contracts import Clients, Stt, Tts
from serve_apps.errors import RaydioError
from serve_apps.media import read
from serve_apps.samples import to_int16
from serve_apps.settings import ASSETS
from ui.scripts import scripted

SAMPLE = ASSETS / "samples" / "question.ogg"
"""A recorded question, for a first try without a microphone."""
RATE_HZ = 24_000
"""Of all sound between the page and the session."""
DOOR = "../../v1/realtime"
"""The session's WebSocket, from the page's address: the same behind any host and prefix."""
_FOLDER = ASSETS / "live"
_SCRIPT = (
    "sound",
    "library",
    "parts",
    "text",
    "microphone",
    "uplink",
    "speaker",
    "socket",
    "entry",
    "log",
    "downloads",
    "settings",
    "reactions",
    "session",
    "live",
    "hands",
)
"""In the order in which they may know each other."""
Question = Callable[[Any], Awaitable[dict[str, Any]]]


def conversation(clients: Clients) -> gr.HTML:
    """The component; `ui/voice.py` says what its element tells."""
    return gr.HTML(
        html_template=(_FOLDER / "page.html").read_text(),
        css_template=(_FOLDER / "live.css").read_text(),
        apply_default_css=False,
        server_functions=[choices(clients.tts, clients.stt), example()],
        worklets=(_FOLDER / "worklets.js").read_text(),
        address=DOOR,
        **scripted(*(f"live/{name}.js" for name in _SCRIPT)),
    )


def choices(tts: Tts, stt: Stt) -> Question:
    """The function that fills the settings: `{"voices": …, "languages": …}`, empty while a model is away."""

    async def choices(_data: Any = None) -> dict[str, Any]:
        return {"voices": await _voices(tts), "languages": await _languages(stt)}

    return choices


async def _voices(tts: Tts) -> list[dict[str, str]]:
    try:
        return [{"id": v.id, "name": f"{v.name} ({v.language})"} for v in await tts.voices()]
    except RaydioError:
        return []  # the header says what is wrong; the standard voice may come up later


async def _languages(stt: Stt) -> list[str]:
    try:
        known = (await stt.describe()).card.details.get("languages", "")
    except RaydioError:
        return []
    return [code for code in known.split(", ") if code]


def example() -> Question:
    """The function that brings the example: `{"pcm": …}`, as the session wants sound."""

    # A function of its own for each component: Gradio marks it.
    async def example(_data: Any = None) -> dict[str, Any]:
        audio = await asyncio.to_thread(read, SAMPLE, rate_hz=RATE_HZ)
        return {"pcm": base64.b64encode(to_int16(audio.samples).astype("<i2").tobytes()).decode()}

    return example
