"""The part of a prompt that stays the same from request to request, and is read once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import takewhile

from serve_apps.wire import ChatRequest, Message

MAX_KEPT = 8
"""CTranslate2 remembers what it read for ever: 13 to 16 MB for 80 tokens of a 135M model, for each."""


class StaticPrompts:
    """Finds where a prompt's own part begins, after a system prompt that many requests share.

    The same request is cut at the same place whether or not its beginning was read before: reading a prompt
    in two pieces rounds otherwise than in one, and the same request must have the same answer.

    Args:
        tokens: a conversation's prompt as tokens.
    """

    def __init__(self, tokens: Callable[[Sequence[Message]], list[str]]) -> None:
        self._tokens = tokens
        self._known: dict[str, list[str]] = {}
        self._lock = threading.Lock()

    def split(self, request: ChatRequest, prompt: list[str]) -> tuple[list[str], list[str], bool]:
        """`prompt` in two, the shared beginning (or nothing) and the rest; and whether to remember it."""
        if not request.system_is_shared or request.messages[0].role != "system":
            return [], prompt, False
        with self._lock:
            static, keep = self._beginning(request.messages[0])
        if prompt[: len(static)] != static or len(prompt) == len(static):
            return [], prompt, False
        return static, prompt[len(static) :], keep

    def _beginning(self, system: Message) -> tuple[list[str], bool]:
        known = self._known.get(system.content)
        if known is not None:
            return known, True
        static = self._common_start(system)
        if len(self._known) == MAX_KEPT:
            return static, False
        self._known[system.content] = static
        return static, True

    def _common_start(self, system: Message) -> list[str]:
        """What two conversations with this system prompt begin with, whatever the template."""
        one, other = (self._tokens([system, Message(role="user", content=text)]) for text in ("A", "7"))
        pairs = zip(one, other, strict=False)
        return [token for token, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
