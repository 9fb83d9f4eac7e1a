"""Text to speech: type, hear it while it is made, and take the file with you."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from serve_apps.contracts import Clients, Tts
from ui import shell
from ui.player import STOP_JS, player
from ui.speaker import EXAMPLES, MAX_CHARACTERS, STANDARD, VOICES_OWN, Speaker, endpoint
from ui.speech_file import CHOICES

N_AT_ONCE = 32
"""Handlers at work at the same time; the stage's own queue decides who waits."""
CUT = f"(text, ...more) => [text.slice(0, {MAX_CHARACTERS + 1}), ...more]"
LEAD = "Type, and hear it while it is still being made. The file is yours when it is done."


@dataclass(frozen=True, slots=True)
class Widgets:
    """What the handlers read and write."""

    text: gr.Textbox
    speak: gr.Button
    stop: gr.Button
    examples: dict[str, gr.Button]
    player: gr.HTML
    stats: gr.HTML
    language: gr.Dropdown
    voice: gr.Dropdown
    speed: gr.Slider
    pitch: gr.Slider
    format: gr.Radio
    reference: gr.Audio
    wave: gr.Audio
    file: gr.File

    @property
    def request(self) -> list[Any]:
        """The inputs of one request, in the order of `Speaker.speak`'s arguments."""
        return [self.text, self.voice, self.language, self.speed, self.pitch, self.format, self.reference]

    @property
    def shown(self) -> list[Any]:
        """The outputs of one request."""
        return [self.player, self.stats, self.wave, self.file]


def build(clients: Clients) -> gr.Blocks:
    """The text to speech page."""
    with shell.page("tts", "Text to speech", clients, ["tts"], lead=LEAD) as blocks:
        widgets = _lay_out()
        speaker = Speaker(clients.tts)
        _endpoint(clients.tts)  # first: Gradio gives the name to whichever handler claims it first
        _wire(widgets, speaker)
        settings = [widgets.language, widgets.voice, widgets.reference]
        blocks.unload(speaker.stop)
        blocks.load(speaker.settings, None, settings, queue=False, api_visibility="private")
    return blocks


def _lay_out() -> Widgets:
    text = gr.Textbox(
        label="Text",
        lines=5,
        max_lines=16,
        placeholder="What shall I say? Shift and Enter speaks.",
        elem_id="ray-text",
    )
    with gr.Row(elem_classes="ray-try"):
        gr.HTML("<span>Try</span>", js_on_load=None, apply_default_css=False)
        examples = {name: gr.Button(name, size="sm", min_width=60) for name in EXAMPLES}
    with gr.Row():
        language = gr.Dropdown([VOICES_OWN], value="", label="Language", filterable=True)
        voice = gr.Dropdown([STANDARD], value="", label="Voice", filterable=True)
    with gr.Row():
        speak = gr.Button("Speak", variant="primary", scale=3, min_width=120, elem_id="ray-speak")
        stop = gr.Button("Stop", scale=1, min_width=80, elem_id="ray-stop")
    with gr.Accordion("Speed, pitch and file format", open=False, elem_classes="ray-settings"), gr.Row():
        speed = gr.Slider(0.5, 3, 1, step=0.05, label="Speed", info="1 is normal")
        pitch = gr.Slider(
            0.5, 2, 1, step=0.05, label="Pitch", info="1 is normal, where the voice can change it"
        )
        format_ = gr.Radio(list(CHOICES.items()), value="wav", label="File format")
    reference = gr.Audio(
        label="A clip whose voice to imitate (only with that person's consent)",
        type="filepath",
        sources=["upload", "microphone"],
        visible=False,
    )
    speech = player()
    stats = gr.HTML("", js_on_load=None, apply_default_css=False, elem_id="ray-speech-stats")
    wave = gr.Audio(
        label="The file", interactive=False, visible=False, buttons=["download"], elem_id="ray-file"
    )
    file = gr.File(label="The file", interactive=False, visible=False)
    return Widgets(
        text,
        speak,
        stop,
        examples,
        speech,
        stats,
        language,
        voice,
        speed,
        pitch,
        format_,
        reference,
        wave,
        file,
    )


def _wire(widgets: Widgets, speaker: Speaker) -> None:
    aside: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    choices = [widgets.text, widgets.language, widgets.voice]
    chosen = [
        button.click(speaker.example(name), None, choices, **aside)
        for name, button in widgets.examples.items()
    ]
    starts: list[Any] = [widgets.speak.click, widgets.text.submit, *(event.then for event in chosen)]
    for listen in starts:
        listen(
            speaker.speak,
            widgets.request,
            widgets.shown,
            js=CUT,
            show_progress="hidden",
            trigger_mode="multiple",
            concurrency_limit=N_AT_ONCE,
            concurrency_id="tts",
            api_visibility="private",
        )
    for leave in (widgets.stop.click, widgets.player.stop):
        leave(speaker.stop, None, None, js=STOP_JS, **aside)
    widgets.language.input(speaker.voices_of, widgets.language, widgets.voice, **aside)


def _endpoint(tts: Tts) -> None:
    """The named API endpoint `/speak`, for programs."""
    inputs = [
        gr.Textbox(label="text", visible=False),
        gr.Textbox(label="voice", value="", visible=False),
        gr.Textbox(label="language", value="", visible=False),
        gr.Number(label="speed", value=1.0, visible=False),
        gr.Number(label="pitch", value=1.0, visible=False),
        gr.Textbox(label="format", value="wav", visible=False),
        gr.Audio(label="reference", type="filepath", visible=False),
    ]
    output = gr.Audio(label="speech", visible=False)
    gr.Button(visible=False).click(
        endpoint(tts), inputs, output, api_name="speak", concurrency_limit=N_AT_ONCE, concurrency_id="tts"
    )
