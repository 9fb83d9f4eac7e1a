"""Chat: ask, and watch the answer being written. One queued event lies between Enter and the first token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import gradio as gr
from gradio.events import api

from serve_apps.contracts import Chat, Clients
from serve_apps.errors import StageError
from serve_apps.settings import ASSETS
from serve_apps.wire import TextDelta, TurnFailed, TurnRequest
from ui import shell
from ui.answer import conversation, said
from ui.conversation import Conversation, Widgets
from ui.pacing import batches

N_AT_ONCE = 64
"""Answers that may be written at the same time; the model's own queue decides who waits."""
LATEX: list[dict[str, str | bool]] = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "\\[", "right": "\\]", "display": True},
    {"left": "\\(", "right": "\\)", "display": False},
]
EXAMPLES = (
    "Explain how a rainbow forms, in three sentences.",
    "Write a Python function that reverses a string.",
    "Suggest a name for a cat that sleeps on keyboards.",
    "Draft a short, friendly reminder about tomorrow's meeting.",
)


def build(clients: Clients) -> gr.Blocks:
    """The chat page."""
    with shell.page("chat", "Chat", clients, ["llm"], heading=False) as blocks:
        widgets = Widgets(_log(), _box(), *_settings())
        _wire(widgets, Conversation(clients.chat, widgets))
        blocks.load(None, js=(ASSETS / "chat_copy.js").read_text())
        api(endpoint(clients.chat), api_name="chat", concurrency_limit=N_AT_ONCE, concurrency_id="chat")
    return blocks


def _log() -> gr.Chatbot:
    return gr.Chatbot(
        label="Conversation",
        show_label=False,
        container=False,
        height="calc(100dvh - 15.5rem)",
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


def _box() -> gr.Textbox:
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


def _settings() -> tuple[gr.Textbox, gr.Slider, gr.Slider, gr.Number, gr.Number, gr.Textbox]:
    with gr.Accordion("Settings", open=False, elem_classes="ray-settings"):
        system_prompt = gr.Textbox(
            label="System prompt",
            lines=2,
            placeholder="How the model should behave, for example: Answer in French.",
        )
        with gr.Row():
            temperature = gr.Slider(
                0, 2, 0.7, step=0.05, label="Temperature", info="0 always picks the likeliest word"
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
    return system_prompt, temperature, top_p, max_tokens, seed, stop


def _wire(widgets: Widgets, talk: Conversation) -> None:
    log, box = widgets.log, widgets.box
    focus = (ASSETS / "chat.js").read_text()
    for name, listen, handler in (
        ("send", box.submit, talk.send),
        ("example", log.example_select, talk.example),
        ("retry", log.retry, talk.retry),
        ("edit", log.edit, talk.edit),
    ):
        listen(
            handler,
            widgets.inputs(),
            [box, log],
            js=focus,
            show_progress="hidden",
            concurrency_limit=N_AT_ONCE,
            concurrency_id="chat",
            api_name=name,
            api_visibility="undocumented",
        )
    quick: dict[str, Any] = {"show_progress": "hidden", "queue": False, "api_visibility": "private"}
    box.stop(talk.stop, None, None, js=focus, **quick)
    log.clear(talk.discard, None, None, **quick)
    log.undo(talk.undo, [log], [box, log], **quick)


def endpoint(chat: Chat) -> Callable[..., AsyncIterator[str]]:
    """The function behind the named API endpoint `/chat`."""

    async def answer(  # noqa: PLR0917 - gradio_client calls it with names or in this order
        message: str,
        system_prompt: str = "",
        temperature: float = 0.7,
        top_p: float = 1.0,
        max_tokens: int | None = None,
        seed: int | None = None,
        history: list[dict[str, Any]] | None = None,
    ) -> AsyncIterator[str]:
        """Answer a message; a stream of the answer so far, each longer than the one before."""
        request = TurnRequest(
            messages=conversation([*(history or []), said("user", message)]),
            system_prompt=system_prompt,
            temperature=temperature,
            top_p=top_p,
            max_tokens=max_tokens,
            seed=seed,
        )
        text = ""
        with shell.told():
            async for events in batches(chat.stream_turn(request)):
                for event in events:
                    if isinstance(event, TurnFailed):
                        raise StageError(event.stage, event.message, retry_after_s=event.retry_after_s)
                    text += event.text if isinstance(event, TextDelta) else ""
                yield text

    return answer
