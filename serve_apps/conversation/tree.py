"""The tree of a conversation's messages: branches, versions at one place, the newest end of a branch.

Pure functions over rows that have `id`, `parent_id` and `ordinal`.
"""

from __future__ import annotations

from collections.abc import Sequence

from serve_apps.conversation.rows import Row


class Tree:
    """A conversation's messages by place.

    Args:
        rows: all of its messages, in any order.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows: dict[str, Row] = {}
        self._children: dict[str | None, list[str]] = {}
        self.next_ordinal = 0
        """What the next message gets."""
        for row in sorted(rows, key=lambda row: int(row["ordinal"])):
            self.add(row)

    def add(self, row: Row) -> None:
        """One more message, newer than all others."""
        self._rows[row["id"]] = row
        self._children.setdefault(row["parent_id"], []).append(row["id"])
        self.next_ordinal = row["ordinal"] + 1

    def __contains__(self, message_id: object) -> bool:
        return message_id in self._rows

    def row(self, message_id: str) -> Row:
        """One message."""
        return self._rows[message_id]

    def rows(self) -> list[Row]:
        """All of them, oldest first."""
        return list(self._rows.values())

    def branch(self, message_id: str | None) -> list[Row]:
        """From the first message to this one; of no message, nothing."""
        found: list[Row] = []
        while message_id is not None and message_id in self._rows:
            found.append(self._rows[message_id])
            message_id = found[-1]["parent_id"]
        return found[::-1]

    def siblings(self, message_id: str) -> tuple[str, ...]:
        """The versions at this message's place, oldest first, itself among them."""
        return tuple(self._children[self._rows[message_id]["parent_id"]])

    def newest_end(self, message_id: str) -> str:
        """The newest of the last messages that come after this one; itself when nothing does."""
        newest, waiting = message_id, [message_id]
        while waiting:
            current = waiting.pop()
            children = self._children.get(current, [])
            waiting += children
            if not children and self._newer(current, newest):
                newest = current
        return newest

    def _newer(self, one: str, other: str) -> bool:
        return bool(self._rows[one]["ordinal"] > self._rows[other]["ordinal"])
