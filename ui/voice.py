"""Voice: a conversation, hands free. You talk, it answers in speech, you interrupt it and it stops.

What the page's element `.ray-live` says, for tests and for whoever watches it:

- `data-state`: idle, connecting, ready (no microphone), listening, hearing, thinking, speaking, muted,
  reconnecting, refused; `data-hint`: why the microphone is refused (insecure, denied, missing, busy).
- `data-muted`, `data-mic` (open, closed), `data-ducked`, `data-session` (its id).
- `data-turns`: answers; `data-p50-ms`, `data-p95-ms`: from the end of speech to the answer's first sound.
- `data-played-ms`: of the answer that is playing or was played last; `data-underruns`: gaps in all answers.
- `data-stopped-ms`: from the arrival of `speech_started` to silence, at the last interruption.

Each message is a `.ray-live-entry` with `data-role` (user, assistant, problem), `data-item`, `data-final`
and, when it was cut off, `data-interrupted` (interrupted, stopped) and `data-played-ms`. Its words are
`.ray-word`, the one that sounds also `.ray-now`; what was not heard is in `<s>`. A turn's times are
`.ray-fall` with a `data-span` a row.
"""

from __future__ import annotations

import gradio as gr

from serve_apps.contracts import Clients, VoiceChat
from ui import shell, sources
from ui.live import conversation
from ui.spoken_turns import endpoint

N_AT_ONCE = 32
"""Turns under way at the same time at `/turn`; the models' own queues decide who waits."""


def build(clients: Clients) -> gr.Blocks:
    """The voice page."""
    with shell.page("voice", "Voice", clients, ["stt", "llm", "tts"], heading=False) as blocks:
        conversation(clients)
        sources.viewer()
        _endpoint(clients.voice)
    return blocks


def _endpoint(voice: VoiceChat) -> None:
    """The named API endpoint `/turn`, for programs."""
    recording = gr.Audio(type="filepath", label="audio", visible=False)
    history = gr.JSON(label="history", value=[], visible=False)
    name = gr.Textbox(label="voice", value="", visible=False)
    speed = gr.Number(label="speed", value=1.0, visible=False)
    outputs = [
        gr.Textbox(label="transcript", visible=False),
        gr.Textbox(label="answer", visible=False),
        gr.Audio(label="speech", visible=False),
    ]
    gr.Button(visible=False).click(
        endpoint(voice),
        [recording, history, name, speed],
        outputs,
        api_name="turn",
        concurrency_limit=N_AT_ONCE,
        concurrency_id="voice",
    )
