"""What the chat page is made of: the conversation, the box under it, the settings of a turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from serve_apps.wire import TurnRequest
from ui.documents import DocumentsPanel

Values = Mapping[Component, Any]
LATEX: list[dict[str, str | bool]] = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "\\[", "right": "\\]", "display": True},
    {"left": "\\(", "right": "\\)", "display": False},
]
SETTINGS_ID = "ray-settings"
TEMPERATURE = 0.2
"""What a small model needs to keep to what it read; people who want surprises turn it up."""
_FOLD = f"""
const button = element.querySelector("button");
button.addEventListener("click", () => {{
  const settings = document.getElementById("{SETTINGS_ID}");
  const open = settings.classList.toggle("ray-open");
  button.setAttribute("aria-expanded", String(open));
  if (open) settings.scrollIntoView({{ block: "nearest" }});
}});
"""
EXAMPLES = (
    "Explain how a rainbow forms, in three sentences.",
    "Write a Python function that reverses a string.",
    "Suggest a name for a cat that sleeps on keyboards.",
    "Draft a short, friendly reminder about tomorrow's meeting.",
)


@dataclass(frozen=True, slots=True)
class Settings:
    """How a turn is answered."""

    system_prompt: gr.Textbox
    temperature: gr.Slider
    top_p: gr.Slider
    max_tokens: gr.Number
    seed: gr.Number
    stop: gr.Textbox

    def request(self, values: Values) -> TurnRequest:
        """As a turn without messages."""
        stop = str(values[self.stop] or "").splitlines()
        return TurnRequest(
            messages=(),
            system_prompt=values[self.system_prompt] or "",
            max_tokens=int(values[self.max_tokens] or 0) or None,
            temperature=float(values[self.temperature]),
            top_p=float(values[self.top_p]),
            seed=int(values[self.seed] or 0) or None,
            stop=tuple(text for text in stop if text),
        )


@dataclass(frozen=True, slots=True)
class Widgets:
    """What the handlers read and write."""

    history: gr.HTML
    log: gr.Chatbot
    box: gr.Textbox
    settings: Settings
    documents: DocumentsPanel

    def inputs(self) -> set[Block]:
        """All of them: a handler gets their values by component."""
        settings: set[Block] = {getattr(self.settings, name) for name in Settings.__slots__}
        return {self.history, self.log, self.box} | settings | self.documents.inputs()


def idle(text: str | None = None) -> Any:
    """The box ready for a message: as it is, or holding `text`."""
    return _box_with(text, submit_btn="Send", stop_btn=False)


def busy(text: str | None = None) -> Any:
    """The box while an answer is written."""
    return _box_with(text, submit_btn=False, stop_btn="Stop")


def _box_with(text: str | None, **buttons: Any) -> Any:
    return gr.update(**buttons) if text is None else gr.update(value=text, **buttons)


def log() -> gr.Chatbot:
    """The conversation."""
    return gr.Chatbot(
        label="Conversation",
        show_label=False,
        container=False,
        height="calc(100dvh - 13.75rem)",
        layout="bubble",
        editable="user",
        buttons=["copy", "copy_all"],
        feedback_options=None,
        latex_delimiters=LATEX,
        reasoning_tags=[("<think>", "</think>")],
        allow_tags=False,
        placeholder="## What would you like to know?\nPick one of these, or write your own.",
        examples=[{"text": text} for text in EXAMPLES],
        elem_classes="ray-log",
    )


def box() -> gr.Textbox:
    """Where the message is written."""
    return gr.Textbox(
        label="Message",
        show_label=False,
        container=False,
        placeholder="Ask something",
        lines=1,
        max_lines=8,
        autofocus=True,
        submit_btn="Send",
        elem_id="ray-box",
    )


def fold() -> None:
    """The button that shows and hides the settings.

    Not an accordion: Gradio makes what is in one when it is opened for the first time, and puts a value
    that is typed into a number within the next moments back to what it was.
    """
    gr.HTML(
        f'<button type="button" class="ray-fold" aria-expanded="false" aria-controls="{SETTINGS_ID}">'
        "Settings</button>",
        js_on_load=_FOLD,
        apply_default_css=False,
        elem_classes="ray-fold-host",
    )


def settings() -> Settings:
    """The settings, folded away until `fold` shows them."""
    with gr.Column(elem_id=SETTINGS_ID):
        system_prompt = gr.Textbox(
            label="System prompt",
            lines=2,
            placeholder="How the model should behave, for example: Answer in French.",
        )
        with gr.Row():
            temperature = gr.Slider(
                0, 2, TEMPERATURE, step=0.05, label="Temperature", info="0 always picks the likeliest word"
            )
            top_p = gr.Slider(
                0.05, 1, 1, step=0.05, label="Top p", info="Share of likely words to choose from"
            )
        with gr.Row():
            max_tokens = gr.Number(
                0, label="Longest answer", info="In tokens; 0: the model's own limit", minimum=0
            )
            seed = gr.Number(0, label="Seed", info="Repeats an answer; 0: a new one each time", minimum=0)
            stop = gr.Textbox(label="Stop before", info="One text a line", lines=1, max_lines=4)
    return Settings(system_prompt, temperature, top_p, max_tokens, seed, stop)
