"""The chat page's handlers: ask, stop, retry, edit, undo, clear, and open what is stored."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from typing import Any

import gradio as gr

from serve_apps.contracts import Clients
from serve_apps.errors import NotFound
from serve_apps.wire import TurnRequest
from serve_apps.wire_conversations import Conversation as Stored
from serve_apps.wire_conversations import ConversationChange
from ui import shell
from ui.answer import ChatMessage, conversation, question_at, said, stored
from ui.answering import Answering, Update, Updates, unchanged
from ui.composer import Values, Widgets, busy, idle
from ui.markup import defuse
from ui.shown import Shown
from ui.tabs import Caller, Tabs


class Conversation:
    """The handlers of the page; each yields new values of the box, the log and the history."""

    def __init__(self, clients: Clients, widgets: Widgets) -> None:
        self._chat = clients.chat
        self._conversations = clients.conversations
        self._widgets = widgets
        self._tabs = Tabs()
        self._answers = Answering(clients.conversations, self._tabs)

    # ---- asking ------------------------------------------------------------------------------------

    async def send(self, values: Values, request: gr.Request) -> Updates:
        """Answer what is in the box."""
        log, text = values[self._widgets.log], values[self._widgets.box]
        async with aclosing(self._ask(text, log, self._shown(values), values, Caller.of(request))) as updates:
            async for update in updates:
                yield update

    async def example(self, values: Values, event: gr.SelectData, request: gr.Request) -> Updates:
        """Answer one of the examples."""
        text = str(event.value["text"])
        async with aclosing(self._ask(text, [], self._shown(values), values, Caller.of(request))) as updates:
            async for update in updates:
                yield update

    async def edit(self, values: Values, event: gr.EditData, request: gr.Request) -> Updates:
        """Answer the changed question, in a branch of its own."""
        before, _, id_ = question_at(values[self._widgets.log], _index(event))
        shown = self._shown(values).before(id_)
        async with aclosing(
            self._ask(str(event.value), before, shown, values, Caller.of(request))
        ) as updates:
            async for update in updates:
                yield update

    async def retry(self, values: Values, event: gr.RetryData, request: gr.Request) -> Updates:
        """Answer the question above again; the answer that was there becomes another version."""
        before, text, id_ = question_at(values[self._widgets.log], _index(event))
        shown = self._shown(values).before(id_)
        caller = Caller.of(request)
        async with aclosing(self._ask(text, before, shown, values, caller, again=id_ or None)) as updates:
            async for update in updates:
                yield update

    async def _ask(
        self,
        text: str,
        before: list[ChatMessage],
        shown: Shown,
        values: Values,
        caller: Caller,
        *,
        again: str | None = None,
    ) -> Updates:
        if not text.strip() or self._tabs.turn(caller.tab) is not None:
            yield unchanged()
            return
        await self._tabs.leave(caller.tab)
        log = [*before, said("user", defuse(text), message_id=again or "")]
        turn = self._turn(values, caller)
        if shown.temporary:
            events: Any = self._chat.stream_turn(replace(turn, messages=conversation(log)))
        else:
            events = self._conversations.ask(replace(shown.ask(caller.user, text, again), turn=turn))
        async with aclosing(self._answers.show(events, log, shown, caller, busy(""))) as updates:
            async for update in updates:
                yield update

    def _turn(self, values: Values, caller: Caller) -> TurnRequest:
        retrieval = self._widgets.documents.retrieval(values)
        request = self._widgets.settings.request(values)
        return replace(request, caller=caller.tab, user=caller.user, retrieval=retrieval)

    def _shown(self, values: Values) -> Shown:
        return Shown.read(values[self._widgets.history])

    # ---- stopping, leaving -------------------------------------------------------------------------

    async def stop(self, value: Any, request: gr.Request) -> None:
        """End the answer that this tab shows."""
        with shell.shown():
            await self._answers.stop(Shown.read(value), Caller.of(request))

    async def clear(self, value: Any, request: gr.Request) -> Update:
        """A new chat; what was stored stays in the list."""
        await self._tabs.leave(Caller.of(request).tab)
        shown = Shown.read(value)
        return idle(), [], Shown(temporary=shown.temporary, asked=shown.asked).value()

    def undo(self, log: list[ChatMessage], value: Any, event: gr.UndoData) -> Update:
        """Take the last question back into the box: the next one is asked in its place."""
        before, question, id_ = question_at(log, _index(event))
        return idle(question), before, Shown.read(value).before(id_).value()

    # ---- opening -----------------------------------------------------------------------------------

    async def open(self, event: gr.EventData, request: gr.Request) -> Updates:
        """Show a stored conversation, or another branch of it, and join the answer that is being written."""
        wanted: dict[str, Any] = event._data or {}  # noqa: SLF001 (what the script said, whole)
        caller = Caller.of(request)
        await self._tabs.leave(caller.tab)
        found, asked = await self._found(wanted, caller.user), int(wanted.get("asked") or 0)
        if found is None:
            yield idle(), [], Shown(temporary=bool(wanted.get("temporary")), asked=asked).value()
            return
        running = bool(found.messages) and found.messages[-1].status == "writing"
        log = stored(found.messages[:-1] if running else found.messages)
        shown = Shown.of(found, asked)
        if not running:
            yield idle(), log, shown.value()
            return
        yield busy(), log, shown.value()
        events = self._conversations.follow(caller.user, found.summary.id)
        async with aclosing(self._answers.show(events, log, shown, caller, busy())) as updates:
            async for update in updates:
                yield update

    async def _found(self, wanted: dict[str, Any], user: str) -> Stored | None:
        """The conversation that the script wants, if there is one."""
        id_, branch = str(wanted.get("id") or ""), wanted.get("shown")
        if not id_:
            return None
        with shell.shown():
            try:
                if branch:
                    change = ConversationChange(shown=str(branch))
                    return await self._conversations.change(user, id_, change)
                return await self._conversations.open(user, id_)
            except NotFound:
                gr.Warning("It was deleted, or is somebody else's. This is a new chat.", title="No such chat")
                return None


def _index(event: gr.RetryData | gr.EditData | gr.UndoData) -> int:
    return event.index if isinstance(event.index, int) else event.index[0]
