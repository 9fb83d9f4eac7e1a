"""What a tab shows: which conversation, and which of its messages, in order.

It is the value of the history component, so the tab itself holds it: any replica can take the next event, and
the page's script draws the list, the address, versions and thumbs from it. The browser may have changed it;
what a user may read is decided where it is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from serve_apps.wire_conversations import AskRequest, Conversation, ConversationSummary, StoredMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A stored message, as far as the page's script needs it."""

    id: str
    role: str
    siblings: tuple[str, ...] = ()
    thumb: str | None = None
    comment: str = ""

    @classmethod
    def of(cls, message: StoredMessage) -> Self:
        """The mark of a message."""
        return cls(
            id=message.id,
            role=message.role,
            siblings=message.siblings,
            thumb=message.thumb,
            comment=message.comment,
        )

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Self:
        """From the tab."""
        return cls(
            id=str(value.get("id") or ""),
            role=str(value.get("role") or ""),
            siblings=tuple(str(id_) for id_ in value.get("siblings") or ()),
            thumb=value.get("thumb"),
            comment=str(value.get("comment") or ""),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A conversation on the screen; without an id a new one, stored with its first question."""

    id: str = ""
    title: str = ""
    temporary: bool = False
    """Nothing of it is stored."""
    running: bool = False
    asked: int = 0
    """Which of the script's wishes this answers: it asked to open something that often."""
    messages: tuple[Mark, ...] = ()

    @classmethod
    def of(cls, conversation: Conversation, asked: int = 0) -> Self:
        """A whole stored conversation."""
        return cls(messages=_marks(conversation.messages), asked=asked).named(conversation.summary)

    @classmethod
    def read(cls, value: Any) -> Self:
        """From the tab; what makes no sense is a new conversation."""
        if not isinstance(value, Mapping):
            return cls()
        listed = value.get("messages")
        marks = listed if isinstance(listed, list) else []
        return cls(
            id=str(value.get("id") or ""),
            title=str(value.get("title") or ""),
            temporary=bool(value.get("temporary")),
            asked=int(value.get("asked") or 0),
            messages=tuple(Mark.read(mark) for mark in marks if isinstance(mark, Mapping)),
        )

    def value(self) -> dict[str, Any]:
        """For the component."""
        return asdict(self)

    def named(self, summary: ConversationSummary) -> Self:
        """The same with a conversation's id, title and state."""
        return replace(self, id=summary.id, title=summary.title, running=summary.running)

    def before(self, message_id: str) -> Self:
        """Up to a message, without it; all of it when it is not there."""
        ids = [mark.id for mark in self.messages]
        at = ids.index(message_id) if message_id in ids else len(ids)
        return replace(self, messages=self.messages[:at])

    def followed_by(self, *messages: StoredMessage) -> Self:
        """With messages after the last; those that are there already are put in place of themselves."""
        new = {message.id for message in messages}
        kept = tuple(mark for mark in self.messages if mark.id not in new)
        return replace(self, messages=(*kept, *_marks(messages)))

    def ask(self, user: str, text: str, answer_again: str | None = None) -> AskRequest:
        """A question after the last message shown; or one that is stored, again."""
        last = self.messages[-1].id if self.messages and answer_again is None else None
        return AskRequest(
            user=user,
            text=text,
            conversation_id=self.id or None,
            parent_id=last,
            from_start=bool(self.id) and not self.messages and answer_again is None,
            answer_again=answer_again,
        )


def _marks(messages: Iterable[StoredMessage]) -> tuple[Mark, ...]:
    return tuple(Mark.of(message) for message in messages)
