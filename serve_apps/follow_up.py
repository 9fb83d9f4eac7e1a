"""A question that leans on what was said before, made to stand alone for a search."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from serve_apps.citations import n_content_words, without_numbers
from serve_apps.contracts import Llm
from serve_apps.errors import StageError
from serve_apps.turns import prompt
from serve_apps.wire import ChatRequest, LlmDelta, Message

FEW_WORDS = 3
"""A question with fewer words of content says too little by itself."""
MAX_REWRITTEN_TOKENS = 64
MAX_REMEMBERED = 4
"""Messages before the question that the model is shown."""
MAX_CHARACTERS = 600
"""Of each of them."""
_LEANS = re.compile(
    r"\b(it|its|they|them|their|this|that|these|those|he|she|him|her|his|there|then|one|ones|same|such|else|"
    r"former|latter|above|previous|instead)\b|^(and|but|or|so|also|what about|how about|why|why not)\b",
    re.IGNORECASE,
)
"""Words that stand for something said before."""


@dataclass(frozen=True, slots=True)
class FollowUps:
    """Makes queries that stand alone.

    Args:
        llm: rewrites, where `way` is `model`.
        way: `join` puts the question before in front, which costs nothing; `off` leaves it.
    """

    llm: Llm
    way: str

    async def query(self, messages: Sequence[Message]) -> str:
        """What to search for, to answer the last message."""
        question = messages[-1].content
        before = [message for message in messages[:-1] if message.role != "system"]
        asked = [message.content for message in before if message.role == "user"]
        if self.way == "off" or not asked or not leans(question):
            return question
        if self.way == "model" and (rewritten := await self._rewritten(before, question)):
            return rewritten
        return f"{asked[-1]} {question}"

    async def _rewritten(self, before: Sequence[Message], question: str) -> str:
        """The model's version; empty when it has none."""
        told = "\n".join(f"{m.role}: {_short(m.content)}" for m in before[-MAX_REMEMBERED:])
        request = ChatRequest(
            messages=(
                Message(role="system", content=prompt("rewrite")),
                Message(role="user", content=f"{told}\n\nQuestion: {question}"),
            ),
            max_tokens=MAX_REWRITTEN_TOKENS,
            temperature=0,
            system_is_shared=True,
        )
        text = ""
        try:
            async with aclosing(self.llm.stream_chat(request)) as events:
                async for event in events:
                    text += event.text if isinstance(event, LlmDelta) else ""
        except StageError:
            return ""
        return next((line.strip(' "') for line in text.splitlines() if line.strip()), "")


def leans(question: str) -> bool:
    """Whether a question seems to need what was said before it."""
    return n_content_words(question) < FEW_WORDS or _LEANS.search(question) is not None


def _short(text: str) -> str:
    plain = without_numbers(text)
    return plain if len(plain) <= MAX_CHARACTERS else plain[:MAX_CHARACTERS] + "…"
