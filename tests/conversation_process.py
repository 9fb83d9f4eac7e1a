"""Processes that answer questions until they are killed, for tests of crashes.

`python -m tests.conversation_process DATABASE_URL`: each line of input is a conversation's id, or `-` for a
new one, and starts a process, forked so that it starts at once; what happens is told in lines of JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
import time
from collections.abc import AsyncGenerator

from sqlalchemy.engine import make_url

from serve_apps.args import ConversationsArgs
from serve_apps.conversations import ConversationsConductor
from serve_apps.database import opened
from serve_apps.wire import TextDelta, TurnEvent, TurnRequest
from serve_apps.wire_conversations import AnswerStored, Asked, AskRequest
from tests.fake_clients import turn_done

SAVE_EVERY_S = 0.05


class QuickChat:
    """A word a millisecond, thirty words an answer."""

    async def stream_turn(self, request: TurnRequest) -> AsyncGenerator[TurnEvent, None]:
        for n in range(30):
            await asyncio.sleep(0.001)
            yield TextDelta(text=f"{request.messages[-1].content}-{n} ")
        yield turn_done(30)


def report(**event: object) -> None:
    """Written at once: what has been said was seen."""
    sys.stdout.write(json.dumps({"at": time.time(), **event}) + "\n")
    sys.stdout.flush()


async def talk(conversations: ConversationsConductor, key: str | None) -> None:
    while True:
        question = secrets.token_hex(4)
        request = AskRequest(user="owner", text=question, conversation_id=key)
        async for event in conversations.ask(request):
            if isinstance(event, Asked):
                key = event.conversation.id
                report(asked=event.question.id, answer=event.answer_id, conversation=key, text=question)
            elif isinstance(event, TextDelta):
                report(delta=event.text)
            elif isinstance(event, AnswerStored):
                report(stored=event.answer.id, text=event.answer.text)


async def answer(url: str, key: str) -> None:
    args = ConversationsArgs(save_every_s=SAVE_EVERY_S)
    conversations = ConversationsConductor(QuickChat(), args, opened(make_url(url)))
    # Two conversations at once, so that answers are saved together.
    await asyncio.gather(talk(conversations, None if key == "-" else key), talk(conversations, None))


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(answer(sys.argv[1], line.strip()))
        report(pid=child)
        report(ended=os.waitpid(child, 0)[1])


if __name__ == "__main__":
    main()
