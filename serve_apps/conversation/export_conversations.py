"""Conversations as files to keep: Markdown, JSON, PDF, several as one ZIP; feedback as JSONL. Blocking."""

from __future__ import annotations

import io
import re
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import orjson

from serve_apps.conversation.export_markdown import to_markdown
from serve_apps.conversation.export_pdf import to_pdf
from serve_apps.conversation.file import WholeConversation, to_json
from serve_apps.errors import InputError
from serve_apps.wire_conversations import Exported, ExportFormat, StoredMessage

MOST_PDFS = 100
"""In one export: each takes half a second."""
NAME_CHARACTERS = 60
_MEDIA_TYPES = {
    "json": "application/json",
    "md": "text/markdown; charset=utf-8",
    "pdf": "application/pdf",
    "zip": "application/zip",
}


def exported(conversations: Sequence[WholeConversation], as_format: ExportFormat) -> Exported:
    """One file; of several conversations one JSON, or a ZIP of Markdown or PDF files."""
    if as_format == "json":
        name = _name(conversations[0].title) if len(conversations) == 1 else _dated("conversations")
        return _file(name, "json", to_json(conversations))
    suffix, made = _FORMATS[as_format]
    if len(conversations) == 1:
        return _file(_name(conversations[0].title), suffix, made(conversations[0]))
    if as_format == "pdf" and len(conversations) > MOST_PDFS:
        raise InputError(
            f"{len(conversations)} conversations are too many for PDF at once ({MOST_PDFS} at most).",
            "Choose fewer, or export Markdown or JSON.",
        )
    return _file(_dated("conversations"), "zip", _zip(conversations, suffix, made))


def feedback_lines(judged: Sequence[tuple[str, StoredMessage, StoredMessage | None]]) -> Exported:
    """JSONL: an answer with what was thought of it, a line each."""
    lines = [orjson.dumps(_line(*entry)) for entry in judged]
    return Exported(
        name=f"{_dated('feedback')}.jsonl",
        media_type="application/jsonl",
        data=b"".join(line + b"\n" for line in lines),
    )


def _line(conversation_id: str, answer: StoredMessage, question: StoredMessage | None) -> dict[str, object]:
    return {
        "conversation_id": conversation_id,
        "answer_id": answer.id,
        "question": question.text if question else "",
        "answer": answer.text,
        "thumb": answer.thumb,
        "comment": answer.comment,
        "model": answer.model,
        "created_s": answer.created_s,
        "status": answer.status,
        "sources": [asdict(source) for source in answer.sources],
    }


def _markdown(conversation: WholeConversation) -> bytes:
    return to_markdown(conversation).encode()


_FORMATS: dict[str, tuple[str, Callable[[WholeConversation], bytes]]] = {
    "markdown": ("md", _markdown),
    "pdf": ("pdf", to_pdf),
}


def _zip(
    conversations: Sequence[WholeConversation], suffix: str, made: Callable[[WholeConversation], bytes]
) -> bytes:
    file = io.BytesIO()
    taken: set[str] = set()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for conversation in conversations:
            name = _untaken(_name(conversation.title), taken)
            archive.writestr(f"{name}.{suffix}", made(conversation))
    return file.getvalue()


def _untaken(name: str, taken: set[str]) -> str:
    """The name, or the first one with a number that no other file has; case does not tell files apart."""
    number, free = 1, name
    while free.casefold() in taken:
        number += 1
        free = f"{name} {number}"
    taken.add(free.casefold())
    return free


def _name(title: str) -> str:
    """A title as a file's name, on every system."""
    kept = re.sub(r'[\x00-\x1f<>:"/\\|?*\u200e\u200f\u202a-\u202e\u2066-\u2069]+', " ", title)
    return " ".join(kept.split())[:NAME_CHARACTERS].strip(" .…") or "conversation"


def _dated(word: str) -> str:
    return f"raydio-{word}-{datetime.fromtimestamp(time.time(), UTC):%Y-%m-%d}"


def _file(name: str, suffix: str, data: bytes) -> Exported:
    return Exported(name=f"{name}.{suffix}", media_type=_MEDIA_TYPES[suffix], data=data)
