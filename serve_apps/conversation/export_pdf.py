"""A conversation as a PDF, set by typst in a process that has a time limit."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from serve_apps.conversation.export_blocks import blocks_of, plain_blocks
from serve_apps.conversation.export_markdown import shown_messages, status_line, subtitle, when, who
from serve_apps.conversation.file import WholeConversation
from serve_apps.errors import StageFailed, StageTimeout
from serve_apps.wire_conversations import StoredMessage

TIMEOUT_S = 60.0
SOURCE_CHARACTERS = 400
"""Of a source's text under an answer."""


def to_pdf(conversation: WholeConversation, timeout_s: float = TIMEOUT_S) -> bytes:
    """The branch that is shown; blocking, half a second.

    Raises:
        StageTimeout: it took too long.
        StageFailed: typst refused it.
    """
    command = [sys.executable, "-m", "serve_apps.conversation.export_typst"]
    data = json.dumps(document(conversation)).encode()
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=timeout_s, check=True)
    except subprocess.TimeoutExpired as error:
        raise StageTimeout(
            "conversations",
            f"The PDF was not ready within {timeout_s:g} seconds.",
            "Export fewer messages, or Markdown.",
        ) from error
    except subprocess.CalledProcessError as error:
        raise StageFailed(
            "conversations", "The PDF could not be made.", "Export Markdown instead."
        ) from error
    return done.stdout


def document(conversation: WholeConversation) -> dict[str, Any]:
    """What `assets/conversation.typ` draws."""
    return {
        "title": conversation.title,
        "subtitle": subtitle(conversation),
        "notice": "",
        "messages": [_message(message) for message in shown_messages(conversation)],
    }


def _message(message: StoredMessage) -> dict[str, Any]:
    body = blocks_of(message.text) if message.role == "assistant" else plain_blocks(message.text)
    status = status_line(message)
    return {
        "who": who(message),
        "when": when(message.created_s),
        "body": body,
        "notes": [*message.notes, *([status] if status else [])],
        "sources": [
            [f"[{n}] {source.title}", " ".join(source.text.split())[:SOURCE_CHARACTERS]]
            for n, source in enumerate(message.sources, 1)
        ],
    }
