"""The chat page's handlers: ask, stop, retry, edit, undo, clear."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from serve_apps.contracts import Chat
from serve_apps.errors import RaydioError
from serve_apps.wire import TurnRequest
from ui.answer import Answer, ChatMessage, conversation, question_at, said
from ui.markup import defuse, restore
from ui.pacing import batches

Values = Mapping[Component, Any]
Shown = tuple[Any, list[ChatMessage] | Any]
"""New values of the box and of the log."""
Updates = AsyncGenerator[Shown, None]


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


def idle(text: str | None = None) -> Any:
    """The box ready for a message: as it is, or holding `text`."""
    buttons: dict[str, Any] = {"submit_btn": "Send", "stop_btn": False}
    return gr.update(**buttons) if text is None else gr.update(value=text, **buttons)


@dataclass(slots=True)
class Turn:
    """A turn under way, for Stop and Clear.

    Not Gradio's `cancels`: its last updates may arrive after those of the handler that cancels.
    """

    stop: asyncio.Event
    discard: bool = False


class Conversation:
    """The handlers of the page; each yields new values of the box and the log."""

    def __init__(self, chat: Chat, widgets: Widgets) -> None:
        self._chat = chat
        self._widgets = widgets
        self._turns: dict[str, Turn] = {}

    async def stop(self, request: gr.Request) -> None:
        """End this tab's turn; what came stays."""
        if turn := self._turns.get(request.session_hash or ""):
            turn.stop.set()

    async def discard(self, request: gr.Request) -> None:
        """End this tab's turn and forget what came."""
        if turn := self._turns.get(request.session_hash or ""):
            turn.discard = True
            turn.stop.set()

    async def send(self, values: Values, request: gr.Request) -> Updates:
        """Answer what is in the box."""
        log, box = values[self._widgets.log], values[self._widgets.box]
        async with aclosing(self._answer(box, log, values, request)) as updates:
            async for update in updates:
                yield update

    async def example(self, values: Values, event: gr.SelectData, request: gr.Request) -> Updates:
        """Answer one of the examples."""
        async with aclosing(self._answer(str(event.value["text"]), [], values, request)) as updates:
            async for update in updates:
                yield update

    async def retry(self, values: Values, event: gr.RetryData, request: gr.Request) -> Updates:
        """Answer the question above again."""
        before, question = question_at(values[self._widgets.log], _index(event))
        async with aclosing(self._answer(question, before, values, request)) as updates:
            async for update in updates:
                yield update

    async def edit(self, values: Values, event: gr.EditData, request: gr.Request) -> Updates:
        """Answer the changed question; what came after the old one goes."""
        before, _ = question_at(values[self._widgets.log], _index(event))
        async with aclosing(self._answer(str(event.value), before, values, request)) as updates:
            async for update in updates:
                yield update

    def undo(self, log: list[ChatMessage], event: gr.UndoData) -> Shown:
        """Take the last question back into the box."""
        before, question = question_at(log, _index(event))
        return idle(restore(question)), before

    async def _answer(
        self, question: str, before: list[ChatMessage], values: Values, request: gr.Request
    ) -> Updates:
        if not question.strip():
            yield gr.skip(), gr.skip()
            return
        session = request.session_hash or ""
        log = [*before, said("user", defuse(question))]
        answer, turn = Answer(), Turn(asyncio.Event())
        self._turns[session] = turn
        box = gr.update(value="", submit_btn=False, stop_btn="Stop")
        stream = batches(self._chat.stream_turn(self._request(log, values, session)), turn.stop)
        try:
            async with aclosing(stream):
                async for events in stream:
                    for event in events:
                        answer.add(event)
                    yield box, [*log, *answer.messages()]
                    box = gr.skip()
        except RaydioError as error:
            answer.fail(error)
        finally:
            self._turns.pop(session, None)
        if turn.stop.is_set():
            answer.stop()
        yield idle(), [] if turn.discard else [*log, *answer.messages()]

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
