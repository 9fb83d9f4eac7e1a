"""Answers as a tab shows them: from events to new values of the page, until the answer ends or is left."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import gradio as gr

from serve_apps.contracts_conversations import Conversations
from serve_apps.errors import RaydioError
from serve_apps.wire import SourcesFound
from serve_apps.wire_conversations import AnswerStored, Asked, ConversationEvent, Joined
from ui import shell
from ui.answer import Answer, ChatMessage, said, stored
from ui.composer import idle
from ui.markup import defuse
from ui.pacing import batches
from ui.shown import Shown
from ui.tabs import Caller, Tabs, Turn

Update = tuple[Any, Any, Any]
"""New values of the box, the log and the history."""
Updates = AsyncGenerator[Update, None]
Events = AsyncGenerator[ConversationEvent, None]


def unchanged() -> Update:
    """The page as it is."""
    return gr.skip(), gr.skip(), gr.skip()


def _is_quiet(event: ConversationEvent) -> bool:
    """Whether an event can wait for the first word: a frame's pause after it would only delay that."""
    return isinstance(event, Asked | SourcesFound)


class Answering:
    """The answers of this replica's tabs.

    Args:
        conversations: where Stop goes, wherever the answer is written.
        tabs: which of them shows what.
    """

    def __init__(self, conversations: Conversations, tabs: Tabs) -> None:
        self._conversations = conversations
        self._tabs = tabs

    async def show(
        self, events: Events, log: list[ChatMessage], shown: Shown, caller: Caller, box: Any
    ) -> Updates:
        """Yield the page as an answer grows.

        Args:
            events: of the answer; closed when the tab is, or when it shows something else.
            log: what stands before the answer; the last message is its question.
            shown: the conversation before the question, or with it when it is stored already.
            caller: whose turn this is.
            box: the box's first update.
        """
        answer = Answer()
        with self._tabs.entered(caller.tab, shown.id) as turn:
            try:
                async with aclosing(batches(events, turn.end, _is_quiet)) as stream:
                    async for batch in stream:
                        before = shown
                        for event in batch:
                            shown = await self._take(event, turn, log, shown, caller.user)
                            answer.add(event)
                        state = gr.skip() if shown is before else shown.value()
                        yield box, [*log, *answer.messages()], state
                        box = gr.skip()
            except RaydioError as error:
                answer.fail(error)
            if turn.stop_wanted and shown.temporary:
                answer.stop()
            last = unchanged() if turn.left else await self._whole(answer, log, shown, caller)
            turn.over = not turn.left
            yield unchanged() if turn.left else last
            # Gradio sends a handler's last update twice, the second time when it has ended.
            yield unchanged()

    async def _whole(self, answer: Answer, log: list[ChatMessage], shown: Shown, caller: Caller) -> Update:
        """The page when there is no more to come."""
        if answer.is_empty and shown.id:  # it had ended before it was joined
            with shell.shown():
                found = await self._conversations.open(caller.user, shown.id)
            return idle(), stored(found.messages), Shown.of(found, shown.asked).value()
        state = replace(shown, running=False).value() if shown.running else gr.skip()
        return idle(), [*log, *answer.messages()], state

    async def _take(
        self, event: ConversationEvent, turn: Turn, log: list[ChatMessage], shown: Shown, user: str
    ) -> Shown:
        """What an event says about the conversation."""
        match event:
            case Asked(conversation=summary, question=question):
                turn.conversation_id = summary.id
                log[-1] = said("user", defuse(question.text), message_id=question.id)
                if turn.stop_wanted:
                    await self._conversations.stop(user, summary.id)
                return replace(shown.named(summary).followed_by(question), running=True)
            case Joined(conversation=summary):
                return replace(shown.named(summary), running=True)
            case AnswerStored(answer=answer):
                return replace(shown.followed_by(answer), running=False)
            case _:
                return shown

    async def stop(self, shown: Shown, caller: Caller) -> None:
        """End the answer that a tab shows, wherever it is written; what came stays."""
        turn = self._tabs.turn(caller.tab)
        if turn is not None:
            turn.stop_wanted = True
            if shown.temporary:
                turn.end.set()
        conversation_id = turn.conversation_id if turn is not None else shown.id
        if conversation_id:
            await self._conversations.stop(caller.user, conversation_id)
