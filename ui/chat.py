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
from ui import composer, documents, history, shell
from ui.answer import conversation, said
from ui.conversation import Conversation
from ui.pacing import batches

N_AT_ONCE = 64
"""Answers that may be written at the same time; the model's own queue decides who waits."""
_STREAMED: dict[str, Any] = {
    # Each value would cross to a thread and back, and a log could name components for Gradio to make.
    "preprocess": False,
    "show_progress": "hidden",
    "concurrency_limit": N_AT_ONCE,
    "concurrency_id": "chat",
    "api_visibility": "undocumented",
}
_QUICK: dict[str, Any] = {"show_progress": "hidden", "queue": False, "api_visibility": "private"}


def build(clients: Clients) -> gr.Blocks:
    """The chat page."""
    with shell.page("chat", "Chat", clients, ["llm"], heading=False) as blocks:
        widgets = _lay_out(clients)
        _wire(widgets, Conversation(clients, widgets))
        blocks.load(None, js=(ASSETS / "chat_copy.js").read_text())
        api(endpoint(clients.chat), api_name="chat", concurrency_limit=N_AT_ONCE, concurrency_id="chat")
    return blocks


def _lay_out(clients: Clients) -> composer.Widgets:
    with gr.Row(elem_classes="ray-chat", equal_height=False):
        with gr.Column(elem_classes="ray-chat-side", min_width=0):
            listed = history.history()
        with gr.Column(elem_classes="ray-chat-main", min_width=0):
            log, box = composer.log(), composer.box()
            with gr.Row(elem_classes="ray-chat-more"):
                panel = documents.panel(clients)
                composer.fold()
            return composer.Widgets(listed, log, box, composer.settings(), panel)


def _wire(widgets: composer.Widgets, talk: Conversation) -> None:
    log, box, listed = widgets.log, widgets.box, widgets.history
    shown = [box, log, listed]
    focus = (ASSETS / "chat.js").read_text()
    for name, listen, handler in (
        ("send", box.submit, talk.send),
        ("example", log.example_select, talk.example),
        ("retry", log.retry, talk.retry),
        ("edit", log.edit, talk.edit),
    ):
        listen(handler, widgets.inputs(), shown, js=focus, api_name=name, **_STREAMED)
    listed.select(talk.open, None, shown, api_name="open", trigger_mode="multiple", **_STREAMED)
    box.stop(talk.stop, [listed], None, js=focus, **_QUICK)
    log.clear(talk.clear, [listed], shown, **_QUICK)
    log.undo(talk.undo, [log, listed], shown, **_QUICK)


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
