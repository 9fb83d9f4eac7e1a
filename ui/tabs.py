"""Turns under way in the tabs of this replica: how each is stopped, and left for another conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

import gradio as gr

from ui.user import user_of

LEAVE_S = 5.0
"""A handler that has not ended by then belongs to a tab that Gradio has not found closed yet."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and in which tab."""

    tab: str
    user: str

    @classmethod
    def of(cls, request: gr.Request) -> Self:
        """The caller of an event."""
        return cls(request.session_hash or "", user_of(request))


@dataclass(slots=True)
class Turn:
    """A handler that shows an answer as it is written.

    Not Gradio's `cancels`: its last updates may arrive after those of the handler that cancels.
    """

    conversation_id: str = ""
    """Empty until it is stored; then Stop is the conductor's business."""
    stop_wanted: bool = False
    left: bool = False
    """The tab shows something else now: the handler must not change it any more."""
    over: bool = False
    """There is nothing more to come, only to be sent."""
    end: asyncio.Event = field(default_factory=asyncio.Event)
    """Ends the stream of events here."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Tabs:
    """The turn of each tab."""

    def __init__(self) -> None:
        self._turns: dict[str, Turn] = {}

    def turn(self, tab: str) -> Turn | None:
        """What a tab is showing as it is written."""
        turn = self._turns.get(tab)
        return None if turn is None or turn.over else turn

    async def leave(self, tab: str) -> None:
        """Have a tab's turn end without another word, and wait until it has."""
        turn = self._turns.get(tab)
        if turn is None:
            return
        if not turn.over:
            turn.left = True
            turn.end.set()
        try:
            async with asyncio.timeout(LEAVE_S):
                await turn.ended.wait()
        except TimeoutError:
            return

    @contextmanager
    def entered(self, tab: str, conversation_id: str) -> Iterator[Turn]:
        """A new turn of a tab."""
        turn = self._turns[tab] = Turn(conversation_id)
        try:
            yield turn
        finally:
            turn.ended.set()
            if self._turns.get(tab) is turn:
                del self._turns[tab]
