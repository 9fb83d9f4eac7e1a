"""A Raydio for live voice: real ears and a real voice, and a model that says what the dialogue expects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.dialogue import ANSWERS

WORDS_PER_S = 12.0
"""Slow enough that the second answer is still being written when it is interrupted."""


def applications(log: Path, *pages: str) -> dict[str, Any]:
    """A Serve config with Moonshine, espeak-ng and a `ScriptedLlm` that writes to `log`."""
    log.touch()
    script = {"log": str(log), "answers": ANSWERS, "words_per_s": WORDS_PER_S}
    return {
        "applications": [
            _application("front", "/", pages=list(pages)),
            _application("stt", None, engine="moonshine", model="moonshine-tiny-en"),
            _application("llm", None, engine="tests.serve.engines:ScriptedLlm", engine_options=script),
            _application("tts", None, engine="espeak"),
            _application("knowledge", None),  # the page asks what documents there are
        ]
    }


def _application(name: str, route_prefix: str | None, **args: Any) -> dict[str, Any]:
    return {
        "name": name,
        "route_prefix": route_prefix,
        "import_path": f"serve_apps.{name}:app",
        "args": args,
    }
