"""Chat: ask, and watch the answer being written. One queued event lies between Enter and the first token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component
from gradio.events import api

from serve_apps.contracts import Chat, Clients
from serve_apps.errors import RaydioError, StageError
from serve_apps.settings import ASSETS
from serve_apps.wire import TextDelta, TurnFailed, TurnRequest
from ui import shell
from ui.answer import Answer, ChatMessage, conversation, note, question_at, said
from ui.markup import defuse, restore
from ui.pacing import batches

N_AT_ONCE = 64
"""Answers that may be written at the same time; the model's own queue decides who waits."""
QUEUE_LIMIT = 256
"""Gradio refuses more waiting events than this with a clear message."""
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
Values = Mapping[Component, Any]
Shown = tuple[Any, list[ChatMessage] | Any]
"""New values of the box and of the log."""


@dataclass(frozen=True, slots=True)
class Widgets:
    """What the handlers read and write."""

    log: gr.Chatbot
    box: gr.Textbox
    system_prompt: gr.Textbox
    temperature: gr.Slider
    top_p: gr.Slider
    max_tokens: gr.Number
    seed: gr.Number
    stop: gr.Textbox

    def inputs(self) -> set[Block]:
        """All of them: a handler gets their values by component."""
        return {getattr(self, name) for name in self.__slots__}


def build(clients: Clients) -> gr.Blocks:
    """The chat page."""
    with shell.page("chat", "Chat", clients, ["llm"], heading=False) as blocks:
        widgets = Widgets(_log(), _box(), *_settings())
        _wire(widgets, Conversation(clients.chat, widgets))
        api(endpoint(clients.chat), api_name="chat", concurrency_limit=N_AT_ONCE, concurrency_id="chat")
    blocks.queue(default_concurrency_limit=N_AT_ONCE, max_size=QUEUE_LIMIT)
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
        placeholder="Message (Shift+Enter for a new line)",
        lines=1,
        max_lines=8,
        autofocus=True,
        submit_btn=True,
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
    asking: list[Any] = [
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
        for name, listen, handler in (
            ("send", box.submit, talk.send),
            ("example", log.example_select, talk.example),
            ("retry", log.retry, talk.retry),
            ("edit", log.edit, talk.edit),
        )
    ]
    quick: dict[str, Any] = {"show_progress": "hidden", "queue": False, "api_visibility": "private"}
    box.stop(stopped, [log], [box, log], cancels=asking, js=focus, **quick)
    log.clear(idle, None, box, cancels=asking, **quick)
    log.undo(talk.undo, [log], [box, log], cancels=asking, **quick)


def idle(text: str | None = None) -> Any:
    """The box ready for a message: as it is, or holding `text`."""
    buttons: dict[str, Any] = {"submit_btn": True, "stop_btn": False}
    return gr.update(**buttons) if text is None else gr.update(value=text, **buttons)


def stopped(log: list[ChatMessage]) -> Shown:
    """After Stop: what came stays, with a line that says why there is no more."""
    return idle(), [*log, note("Stopped", "Press Retry under the answer to have it written again.")]


class Conversation:
    """The handlers of the page; each yields new values of the box and the log."""

    def __init__(self, chat: Chat, widgets: Widgets) -> None:
        self._chat = chat
        self._widgets = widgets

    async def send(self, values: Values, request: gr.Request) -> AsyncIterator[Shown]:
        """Answer what is in the box."""
        log, box = values[self._widgets.log], values[self._widgets.box]
        async for shown in self._answer(box, log, values, request):
            yield shown

    async def example(
        self, values: Values, event: gr.SelectData, request: gr.Request
    ) -> AsyncIterator[Shown]:
        """Answer one of the examples."""
        async for shown in self._answer(str(event.value["text"]), [], values, request):
            yield shown

    async def retry(self, values: Values, event: gr.RetryData, request: gr.Request) -> AsyncIterator[Shown]:
        """Answer the question above again."""
        before, question = question_at(values[self._widgets.log], _index(event))
        async for shown in self._answer(question, before, values, request):
            yield shown

    async def edit(self, values: Values, event: gr.EditData, request: gr.Request) -> AsyncIterator[Shown]:
        """Answer the changed question; what came after the old one goes."""
        before, _ = question_at(values[self._widgets.log], _index(event))
        async for shown in self._answer(str(event.value), before, values, request):
            yield shown

    def undo(self, log: list[ChatMessage], event: gr.UndoData) -> Shown:
        """Take the last question back into the box."""
        before, question = question_at(log, _index(event))
        return idle(restore(question)), before

    async def _answer(
        self, question: str, before: list[ChatMessage], values: Values, request: gr.Request
    ) -> AsyncIterator[Shown]:
        if not question.strip():
            yield gr.skip(), gr.skip()
            return
        log = [*before, said("user", defuse(question))]
        turn = self._request(log, values, request.session_hash or "")
        answer = Answer()
        box = gr.update(value="", submit_btn=False, stop_btn=True)
        try:
            async for events in batches(self._chat.stream_turn(turn)):
                for event in events:
                    answer.add(event)
                yield box, [*log, *answer.messages()]
                box = gr.skip()
        except RaydioError as error:
            answer.fail(error)
        yield idle(), [*log, *answer.messages()]

    def _request(self, log: list[ChatMessage], values: Values, caller: str) -> TurnRequest:
        widgets = self._widgets
        stop = str(values[widgets.stop] or "").splitlines()
        return TurnRequest(
            messages=conversation(log),
            system_prompt=values[widgets.system_prompt] or "",
            max_tokens=int(values[widgets.max_tokens] or 0) or None,
            temperature=values[widgets.temperature],
            top_p=values[widgets.top_p],
            seed=int(values[widgets.seed] or 0) or None,
            stop=tuple(text for text in stop if text),
            caller=caller,
        )


def _index(event: gr.RetryData | gr.EditData | gr.UndoData) -> int:
    return event.index if isinstance(event.index, int) else event.index[0]


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
        with shell.shown():
            async for events in batches(chat.stream_turn(request)):
                for event in events:
                    if isinstance(event, TurnFailed):
                        raise StageError(event.stage, event.message, retry_after_s=event.retry_after_s)
                    text += event.text if isinstance(event, TextDelta) else ""
                yield text

    return answer
