"""An answer as it grows: turn events in, chat messages for the screen out; and back for the model."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Literal

from serve_apps.errors import RaydioError, StageError
from serve_apps.wire import Message, TextDelta, TurnDone, TurnEvent, TurnFailed
from ui.markup import defuse, restore
from ui.stats import milliseconds
from ui.waterfall import waterfall

ChatMessage = dict[str, Any]
"""A message in the form of gr.Chatbot: role, content (a list of parts), metadata."""
ADVICE = {
    "stage_busy": "Too many people are asking at once. Press Retry under the answer{when}.",
    "stage_unavailable": "Wait until its dot in the header is green, then press Retry under the answer.",
    "stage_timeout": "Press Retry under the answer, or ask for a shorter answer in the settings.",
    "context_length_exceeded": "Undo some messages or clear the conversation, then ask again.",
}
ANY_ADVICE = "Press Retry under the answer. If it happens again, look into: raydio logs"


class Answer:
    """Collects one turn's events."""

    def __init__(self) -> None:
        self.text = ""
        self._notes: list[ChatMessage] = []

    def add(self, event: TurnEvent) -> None:
        """Take one event of the turn; the ones that are not for the eye pass by."""
        match event:
            case TextDelta(text=text):
                self.text += text
            case TurnDone():
                self._notes += [note("Worth knowing", defuse(text)) for text in event.notes]
                self._notes.append(
                    note(
                        _summary(event),
                        waterfall(event.waterfall) or "No stage reported its time.",
                        status="done",
                    )
                )
            case TurnFailed():
                self._fail(event.message, event.code, event.retry_after_s)
            case _:
                pass

    def fail(self, error: RaydioError) -> None:
        """End with an error; what came before it stays."""
        retry_after_s = error.retry_after_s if isinstance(error, StageError) else None
        self._fail(error.message, error.code, retry_after_s, error.hint)

    def stop(self) -> None:
        """End because the user said so."""
        self._notes.append(note("Stopped", "Press Retry under the answer to have it written again."))

    def _fail(self, message: str, code: str, retry_after_s: float | None, hint: str = "") -> None:
        when = "" if retry_after_s is None else f" in {retry_after_s:.0f} s"
        advice = hint or ADVICE.get(code, ANY_ADVICE).format(when=when)
        self._notes.append(note(message, defuse(advice)))

    def messages(self) -> list[ChatMessage]:
        """The answer so far: its text, then what there is to say about it."""
        if not self.text and not self._notes:
            return [note("Waiting for the model", "…", status="pending")]
        return [*([said("assistant", defuse(self.text))] if self.text else []), *self._notes]


def said(role: str, text: str) -> ChatMessage:
    """A message; as a part, not a bare string, because Gradio removes the indentation of those."""
    return {"role": role, "content": [{"type": "text", "text": text}]}


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
        Message(role=role, content=restore("\n\n".join(text for _, text in group)))
        for role, group in groupby(spoken, key=lambda item: item[0])
        if role in {"user", "assistant"}
    )


def question_at(history: Sequence[ChatMessage], index: int) -> tuple[list[ChatMessage], str]:
    """The user's message at or before `index`, and the history before it."""
    for at in range(min(index, len(history) - 1), -1, -1):
        if history[at]["role"] == "user":
            return list(history[:at]), _text(history[at])
    return [], ""


def _text(message: ChatMessage) -> str:
    content = message["content"]
    if isinstance(content, str):
        return content
    return "\n\n".join(str(part["text"]) for part in content if part.get("type") == "text")


def _summary(done: TurnDone) -> str:
    usage = done.usage
    facts = [
        f"{usage.completion_tokens} tokens",
        f"{done.tokens_per_s:.1f} tok/s" if done.tokens_per_s else "",
        f"first token {milliseconds(done.first_token_ms)}",
        f"prompt {usage.prompt_tokens}" + (f" ({usage.cached_tokens} cached)" if usage.cached_tokens else ""),
        "cut at the limit" if done.finish_reason == "length" else "",
    ]
    return " · ".join(fact for fact in facts if fact)
