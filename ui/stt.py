"""Speech to text: drop a recording or speak, read along, take the subtitles with you."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from serve_apps.contracts import Clients, Stt
from ui import shell
from ui.listener import DETECT, FILES, Listener, endpoint, example
from ui.scripts import scripted

N_AT_ONCE = 32
"""Handlers at work at the same time; the stage's own queue decides who waits."""
LEAD = "Turn a recording, a video or your microphone into text, with times and subtitles."
TYPES = ["audio", "video", ".aac", ".amr", ".caf", ".m4a", ".mka", ".oga", ".opus", ".weba", ".wma"]
"""What the browser's file chooser offers; what is inside is found out by reading it."""

TRANSCRIPT = (
    '<div role="region" aria-label="Text" tabindex="0" dir="auto" '
    'data-hint="The text appears here while the recording is heard.">${value}</div>'
)
"""A disabled text box could not be reached with the keyboard. The value comes escaped: Gradio's `{{value}}`
would escape it too, and then run what looks like `${…}` in it."""
COPY = "() => navigator.clipboard?.writeText(document.querySelector('#ray-transcript div[role]').innerText)"


@dataclass(frozen=True, slots=True)
class Widgets:
    """What the handlers read and write."""

    file: gr.File
    microphone: gr.Audio
    language: gr.Dropdown
    words: gr.Checkbox
    example: gr.Button
    start: gr.Button
    stop: gr.Button
    progress: gr.HTML
    text: gr.HTML
    timed: gr.HTML
    downloads: list[gr.DownloadButton]
    recording: gr.State
    heard: gr.State

    @property
    def request(self) -> list[Any]:
        """The inputs of `Listener.listen`."""
        return [self.recording, self.language, self.words]

    @property
    def shown(self) -> list[Any]:
        """The outputs of `Listener.listen`."""
        return [self.progress, self.text, self.timed, *self.downloads, self.heard]


def build(clients: Clients) -> gr.Blocks:
    """The speech to text page."""
    with shell.page("stt", "Speech to text", clients, ["stt"], lead=LEAD) as blocks:
        widgets = _lay_out()
        listener = Listener(clients.stt)
        _endpoint(clients.stt)
        _wire(widgets, listener)
        settings = [widgets.language, widgets.words]
        blocks.load(listener.settings, None, settings, queue=False, api_visibility="private")
    return blocks


def _lay_out() -> Widgets:
    with gr.Tabs():
        with gr.Tab("File"):
            file = gr.File(label="Audio or video file", file_types=TYPES, height=150, elem_id="ray-recording")
        with gr.Tab("Microphone"):
            microphone = gr.Audio(
                label="Microphone",
                sources=["microphone"],
                type="filepath",
                format="wav",
                buttons=["download"],  # by default also a share button, which posts to another host
            )
    with gr.Row(elem_classes="ray-try"):
        gr.HTML("<span>Try</span>", js_on_load=None, apply_default_css=False)
        sample = gr.Button("A short announcement", size="sm", min_width=60, elem_id="ray-example")
    with gr.Row():
        language = gr.Dropdown([DETECT], value="", label="Language", filterable=True, visible=False)
        words = gr.Checkbox(value=True, label="Word times", info="Click a word to hear it")
    with gr.Row():
        start = gr.Button("Transcribe", variant="primary", scale=3, min_width=120, elem_id="ray-transcribe")
        stop = gr.Button("Stop", scale=1, min_width=80, elem_id="ray-stop")
    progress = gr.HTML("", js_on_load=None, apply_default_css=False, elem_id="ray-heard")
    text = gr.HTML(
        "", html_template=TRANSCRIPT, js_on_load=None, apply_default_css=False, elem_id="ray-transcript"
    )
    with gr.Row(elem_classes="ray-take"):
        gr.Button("Copy", size="sm", min_width=60).click(
            None, None, None, js=COPY, queue=False, api_visibility="private"
        )
        downloads = [
            gr.DownloadButton(name, size="sm", min_width=60, visible=False) for name in FILES.values()
        ]
    timed = gr.HTML("", apply_default_css=False, elem_id="ray-timed", **scripted("stt.js"))
    return Widgets(
        file,
        microphone,
        language,
        words,
        sample,
        start,
        stop,
        progress,
        text,
        timed,
        downloads,
        gr.State(None),
        gr.State(None),
    )


def _wire(widgets: Widgets, listener: Listener) -> None:
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    # What gives files goes through the queue: outside of it, Gradio forgets the page's path in addresses.
    aside = {**quiet, "queue": False}
    recording = widgets.recording
    chosen = [
        widgets.file.upload(_taken, widgets.file, recording, **aside),
        widgets.microphone.stop_recording(_taken, widgets.microphone, recording, **aside),
        widgets.example.click(_example, None, [widgets.file, recording], **quiet),
    ]
    widgets.file.clear(_forgotten, None, recording, **aside)
    widgets.microphone.clear(_forgotten, None, recording, **aside)
    starts: list[Any] = [widgets.start.click, *(event.then for event in chosen)]
    for begin in starts:
        begin(
            listener.listen,
            widgets.request,
            widgets.shown,
            concurrency_limit=N_AT_ONCE,
            concurrency_id="stt",
            **quiet,
        )
    widgets.stop.click(listener.stopped, widgets.heard, None, **aside)


def _taken(path: str | None) -> str | None:
    return path


def _forgotten() -> None:
    return None


def _example() -> tuple[str, str]:
    path = example()
    return path, path


def _endpoint(stt: Stt) -> None:
    """The named API endpoint `/transcribe`, for programs."""
    inputs = [
        gr.File(label="audio", visible=False),
        gr.Textbox(label="language", value="", visible=False),
        gr.Checkbox(label="words", value=False, visible=False),
    ]
    outputs = [
        gr.Textbox(label="text", visible=False),
        gr.JSON(label="transcript", visible=False),
        gr.File(label="files", file_count="multiple", visible=False),
    ]
    gr.Button(visible=False).click(
        endpoint(stt),
        inputs,
        outputs,
        api_name="transcribe",
        concurrency_limit=N_AT_ONCE,
        concurrency_id="stt",
    )
