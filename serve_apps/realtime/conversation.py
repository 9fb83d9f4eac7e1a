"""The conversation: its items in order, and what of them the model is told."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from serve_apps.errors import InputError, UnknownName
from serve_apps.realtime.playback import Playback
from serve_apps.wire import Message, Samples

MAX_ITEMS = 2_000
MAX_KEPT_AUDIO = 16_000 * 300
"""Samples of the user's speech that are kept for `conversation.item.retrieve`: five minutes, the newest."""


def new_id(prefix: str) -> str:
    """An id as the protocol's examples have them: `item_…`, `resp_…`."""
    return f"{prefix}_{secrets.token_hex(10)}"


@dataclass(slots=True, kw_only=True)
class Item:
    """One message of a conversation."""

    id: str = field(default_factory=lambda: new_id("item"))
    role: Literal["system", "user", "assistant"]
    kind: Literal["text", "audio"]
    status: Literal["in_progress", "completed", "incomplete"] = "completed"
    text: str | None = None
    """What it says; None while speech is not understood yet."""
    audio: Samples | None = None
    """The user's speech at 16 kHz, while it is kept."""
    playback: Playback | None = None
    """Of a spoken answer: what of it was sent, played and cut off."""

    def told(self) -> str:
        """What the model is told that was said: of an interrupted answer, the words that were heard."""
        cut = self.playback.heard_text if self.playback else None
        return (self.text or "") if cut is None else cut


class Conversation:
    """Items, oldest first."""

    def __init__(self) -> None:
        self.id = new_id("conv")
        self._items: list[Item] = []

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def insert(self, item: Item, after: str | None = None) -> str | None:
        """Add `item` at the end, after another one, or first (`root`); returns the id before it.

        Raises:
            InputError: the id is taken, or the conversation is full.
            UnknownName: no such item to come after.
        """
        if any(known.id == item.id for known in self._items):
            raise InputError(f"There is an item {item.id!r} already.", "Leave its id out, or choose another.")
        if len(self._items) >= MAX_ITEMS:
            raise InputError(f"The conversation has {MAX_ITEMS} items.", "Start a new session.")
        at = {None: len(self._items), "root": 0}.get(after, -1)
        at = at if at >= 0 else self._index(after or "") + 1
        self._items.insert(at, item)
        self._forget_old_audio()
        return self._items[at - 1].id if at else None

    def get(self, item_id: str) -> Item:
        """The item.

        Raises:
            UnknownName: there is none.
        """
        return self._items[self._index(item_id)]

    def remove(self, item_id: str) -> None:
        """Forget an item.

        Raises:
            UnknownName: there is none.
        """
        del self._items[self._index(item_id)]

    @property
    def last_id(self) -> str | None:
        """The newest item's id."""
        return self._items[-1].id if self._items else None

    def messages(self) -> tuple[Message, ...]:
        """What the model is told: neighbours of one speaker as one message, nothing empty."""
        return as_messages(self._items)

    def _index(self, item_id: str) -> int:
        for i, item in enumerate(self._items):
            if item.id == item_id:
                return i
        raise UnknownName(f"There is no item {item_id!r} in this conversation.", "It may have been deleted.")

    def _forget_old_audio(self) -> None:
        left = MAX_KEPT_AUDIO
        for item in reversed(self._items):
            left -= 0 if item.audio is None else len(item.audio)
            if left < 0:
                item.audio = None


def as_messages(items: list[Item]) -> tuple[Message, ...]:
    """Items as chat messages. Somebody who was cut off and went on said one thing, not two."""
    messages: list[Message] = []
    for item in items:
        said = item.told().strip()
        if not said:
            continue
        if messages and messages[-1].role == item.role:
            messages[-1] = Message(role=item.role, content=f"{messages[-1].content} {said}")
        else:
            messages.append(Message(role=item.role, content=said))
    return tuple(messages)


def samples_or_none(samples: Samples) -> Samples | None:
    """`samples`, if there are any."""
    return samples if np.size(samples) else None
