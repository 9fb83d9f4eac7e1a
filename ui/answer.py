"""An answer as it grows: turn events in, chat messages for the screen out; and back for the model."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Literal

from serve_apps.errors import RaydioError, StageError
from serve_apps.wire import Message, Source, SourcesFound, Span, TextDelta, TurnDone, TurnFailed
from serve_apps.wire_conversations import AnswerStored, ConversationEvent, Joined, StoredMessage
from ui.markup import defuse, restore
from ui.sources import linked, sources_message, unlinked
from ui.stats import milliseconds
from ui.waterfall import waterfall

ChatMessage = dict[str, Any]
"""A message in the form of gr.Chatbot: role, content (a list of parts), metadata."""
ADVICE = {
    "stage_busy": "Too many people are asking at once. Press Retry under the answer{when}.",
    "stage_unavailable": "Wait until its dot in the header is green, then press Retry under the answer.",
    "stage_timeout": "Press Retry under the answer, or ask for a shorter answer in the settings.",
    "context_length_exceeded": "Undo some messages or begin a new chat, then ask again.",
}
ANY_ADVICE = "Press Retry under the answer. If it happens again, look into: raydio logs"
AGAIN = "Press Retry under the answer to have it written again."


class Answer:
    """Collects one answer's events."""

    def __init__(self) -> None:
        self.text = ""
        self._sources: tuple[Source, ...] = ()
        self._notes: list[ChatMessage] = []
        self._ended = False

    def add(self, event: ConversationEvent) -> None:
        """Take one event; the ones that are not for the eye pass by."""
        match event:
            case TextDelta(text=text):
                self.text += text
            case SourcesFound(sources=sources):
                self._sources = sources
            case TurnDone():
                self._end([*_worth_knowing(event.notes), _numbers(_summary(event), event.waterfall)])
            case TurnFailed():
                self._end([_failure(event.message, event.code, event.retry_after_s)])
            case Joined(answer=answer):
                self.text, self._sources = answer.text, answer.sources
            case AnswerStored(answer=answer):
                self.text, self._sources = answer.text, answer.sources
                if not self._ended:
                    self._end(about(answer))
            case _:
                pass

    def fail(self, error: RaydioError) -> None:
        """End with an error; what came before it stays."""
        retry_after_s = error.retry_after_s if isinstance(error, StageError) else None
        self._end([_failure(error.message, error.code, retry_after_s, error.hint)])

    def stop(self) -> None:
        """End because the user said so."""
        self._end([note("Stopped", AGAIN)])

    def _end(self, notes: list[ChatMessage]) -> None:
        self._notes, self._ended = notes, True

    @property
    def is_empty(self) -> bool:
        """Whether nothing came yet."""
        return not self.text and not self._ended

    def messages(self) -> list[ChatMessage]:
        """The answer so far: its text, then what there is to say about it."""
        if self.is_empty:
            return [note(_waiting(len(self._sources)), "…", status="pending")]
        words = [said("assistant", linked(defuse(self.text), self._sources))] if self.text else []
        listed = [sources_message(self._sources, self.text)] if self._sources and self._ended else []
        return [*words, *listed, *self._notes]


def about(answer: StoredMessage) -> list[ChatMessage]:
    """What there is to say about a stored answer, under it."""
    notes = _worth_knowing(answer.notes)
    match answer.status:
        case "stopped":
            notes.append(note("Stopped", AGAIN))
        case "interrupted":
            notes.append(note("Interrupted: what wrote it was restarted", AGAIN))
        case "failed":
            notes.append(_failure(answer.error or "It failed.", answer.error_code, None))
        case _:
            pass
    if answer.waterfall:
        facts = _facts(answer.n_tokens, answer.tokens_per_s, answer.first_token_ms)
        notes.append(_numbers(" · ".join(facts), answer.waterfall))
    return notes


def stored(messages: Sequence[StoredMessage]) -> list[ChatMessage]:
    """Stored messages for the screen."""
    shown: list[ChatMessage] = []
    for message in messages:
        if message.role == "user":
            shown.append(said("user", defuse(message.text), message_id=message.id))
        else:
            answer = Answer()
            answer.add(AnswerStored(answer=message))
            shown += answer.messages()
    return shown


def said(role: str, text: str, *, message_id: str = "") -> ChatMessage:
    """A message; as a part, not a bare string, because Gradio removes the indentation of those."""
    named = {"metadata": {"id": message_id}} if message_id else {}
    return {"role": role, "content": [{"type": "text", "text": text}], **named}


def note(title: str, text: str, *, status: Literal["pending", "done"] | None = None) -> ChatMessage:
    """A line under an answer that is about it and no part of the conversation.

    Args:
        title: always visible.
        text: Markdown, or HTML of ours; not empty, because Gradio drops a message without text.
        status: pending shows a spinner, done folds the text away.
    """
    metadata = {"title": defuse(title), **({"status": status} if status else {})}
    return {**said("assistant", text), "metadata": metadata}


def conversation(history: Sequence[ChatMessage]) -> tuple[Message, ...]:
    """The messages for the model: no notes, no reasoning, neighbours of one role joined."""
    spoken = [
        (message["role"], _text(message))
        for message in history
        if not (message.get("metadata") or {}).get("title") and _text(message)
    ]
    return tuple(
        Message(role=role, content=restore(unlinked("\n\n".join(text for _, text in group))))
        for role, group in groupby(spoken, key=lambda item: item[0])
        if role in {"user", "assistant"}
    )


def question_at(history: Sequence[ChatMessage], index: int) -> tuple[list[ChatMessage], str, str]:
    """The user's message at or before `index`: the history before it, its text, its id if it is stored."""
    for at in range(min(index, len(history) - 1), -1, -1):
        if history[at]["role"] == "user":
            message_id = (history[at].get("metadata") or {}).get("id")
            return list(history[:at]), restore(_text(history[at])), str(message_id or "")
    return [], "", ""


def _text(message: ChatMessage) -> str:
    content = message["content"]
    if isinstance(content, str):
        return content
    return "\n\n".join(str(part["text"]) for part in content if part.get("type") == "text")


def _waiting(n_sources: int) -> str:
    return f"Reading {n_sources} passage{'s' * (n_sources > 1)}" if n_sources else "Waiting for the model"


def _worth_knowing(notes: Sequence[str]) -> list[ChatMessage]:
    return [note("Worth knowing", defuse(text)) for text in notes]


def _failure(message: str, code: str, retry_after_s: float | None, hint: str = "") -> ChatMessage:
    when = "" if retry_after_s is None else f" in {retry_after_s:.0f} s"
    advice = hint or ADVICE.get(code, ANY_ADVICE).format(when=when)
    return note(message, defuse(advice))


def _numbers(title: str, spans: Sequence[Span]) -> ChatMessage:
    return note(title, waterfall(spans) or "No stage reported its time.", status="done")


def _facts(n_tokens: int, tokens_per_s: float, first_token_ms: float) -> list[str]:
    speed = [f"{tokens_per_s:.1f} tok/s"] if tokens_per_s else []
    return [f"{n_tokens} tokens", *speed, f"first token {milliseconds(first_token_ms)}"]


def _summary(done: TurnDone) -> str:
    usage = done.usage
    cached = f" ({usage.cached_tokens} cached)" if usage.cached_tokens else ""
    cut = ["cut at the limit"] if done.finish_reason == "length" else []
    facts = _facts(usage.completion_tokens, done.tokens_per_s, done.first_token_ms)
    return " · ".join([*facts, f"prompt {usage.prompt_tokens}{cached}", *cut])
