"""Voice: hold a button and talk; your words, the answer and its speech follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from serve_apps.contracts import Clients, Tts, VoiceChat
from serve_apps.errors import RaydioError
from serve_apps.settings import ASSETS
from ui import shell
from ui.player import STOP_JS, player
from ui.recorder import recorder
from ui.spoken_turns import Conversation, endpoint

N_AT_ONCE = 32
"""Turns under way at the same time; the models' own queues decide who waits."""
PLACEHOLDER = (
    "## Ask something aloud\nHold the button and talk. You hear the answer while it is being written."
)
DEFAULT_VOICE = ("Standard voice", "")


@dataclass(frozen=True, slots=True)
class Widgets:
    """What the handlers read and write."""

    log: gr.Chatbot
    microphone: gr.HTML
    player: gr.HTML
    box: gr.Textbox
    sample: gr.Button
    voice: gr.Dropdown
    speed: gr.Slider


def build(clients: Clients) -> gr.Blocks:
    """The voice page."""
    with shell.page("voice", "Voice", clients, ["stt", "llm", "tts"], heading=False) as blocks:
        widgets = _widgets()
        _wire(widgets, Conversation(clients.voice))
        _endpoint(clients.voice)
        blocks.load(voice_choices(clients.tts), None, widgets.voice, queue=False, api_visibility="private")
    return blocks


def _widgets() -> Widgets:
    log, microphone, speech = _log(), recorder(), _speech()
    box, sample = _text()
    voice, speed = _settings()
    return Widgets(log, microphone, speech, box, sample, voice, speed)


def _log() -> gr.Chatbot:
    return gr.Chatbot(
        label="Conversation",
        show_label=False,
        container=False,
        height="max(12rem, calc(100dvh - 27rem))",
        layout="bubble",
        buttons=["copy", "copy_all"],
        feedback_options=None,
        allow_tags=False,
        placeholder=PLACEHOLDER,
        elem_classes="ray-log",
    )


def _speech() -> gr.HTML:
    speech = player("The answer's speech")
    gr.HTML(
        '<p class="ray-voice-lag" role="status"></p>',
        js_on_load=(ASSETS / "voice.js").read_text(),
        css_template=(ASSETS / "voice.css").read_text(),
        apply_default_css=False,
    )
    return speech


def _text() -> tuple[gr.Textbox, gr.Button]:
    with gr.Row(equal_height=True):
        box = gr.Textbox(
            label="Message",
            show_label=False,
            container=False,
            placeholder="Or type it",
            lines=1,
            max_lines=4,
            submit_btn="Send",
            elem_id="ray-box",
            scale=4,
        )
        sample = gr.Button("Try an example", elem_id="ray-sample", scale=1, min_width=150)
    return box, sample


def _settings() -> tuple[gr.Dropdown, gr.Slider]:
    with gr.Accordion("Voice and speed", open=False, elem_classes="ray-settings"), gr.Row():
        voice = gr.Dropdown([DEFAULT_VOICE], value="", label="Voice", allow_custom_value=True)
        speed = gr.Slider(0.5, 2, 1, step=0.05, label="Speed", info="1 is normal")
    return voice, speed


def voice_choices(tts: Tts) -> Any:
    """The handler that fills the list of voices when the page opens."""

    async def choices() -> Any:
        try:
            voices = await tts.voices()
        except RaydioError:
            return gr.skip()  # the header says what is wrong; the default voice may come up later
        return gr.update(choices=[DEFAULT_VOICE, *((f"{v.name} ({v.language})", v.id) for v in voices)])

    return choices


def _wire(widgets: Widgets, talk: Conversation) -> None:
    log, box, microphone, speech = widgets.log, widgets.box, widgets.microphone, widgets.player
    settings = [log, widgets.voice, widgets.speed]
    for listen, handler, first in (
        (microphone.recorded, talk.recorded, []),
        (widgets.sample.click, talk.sample, []),
        (box.submit, talk.typed, [box]),
        (log.retry, talk.retry, []),
    ):
        listen(
            handler,
            [*first, *settings],
            [box, log, speech],
            show_progress="hidden",
            concurrency_limit=N_AT_ONCE,
            concurrency_id="voice",
            api_visibility="private",
        )
    quick: dict[str, Any] = {"show_progress": "hidden", "queue": False, "api_visibility": "private"}
    for leave in (microphone.press, speech.stop, box.stop):
        leave(talk.stop, None, None, js=STOP_JS, **quick)
    log.clear(talk.discard, None, None, js=STOP_JS, **quick)


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
