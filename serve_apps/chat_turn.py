"""What a written turn has seen so far, and how it is summed up at its end."""

from __future__ import annotations

from dataclasses import dataclass, field

from serve_apps.cited_text import CitedText
from serve_apps.turns import TurnClock, span
from serve_apps.wire import LlmDone, LlmEvent, LlmUsage, Span, TextDelta, TurnDone, TurnEvent

NOT_TRACED = "No sentence of this answer could be traced to a passage."


@dataclass(slots=True)
class Turn:
    """One turn; times are its clock's, in milliseconds."""

    clock: TurnClock
    stage: str = "llm"
    """What is being asked."""
    asked_ms: float = 0.0
    first_token_ms: float | None = None
    n_left_out: int = 0
    """Messages that the model's context had no room for."""
    done: bool = False
    spans: list[Span] = field(default_factory=list)
    """What came before the model."""
    notes: list[str] = field(default_factory=list)
    cited: CitedText | None = None
    """Checks the numbers in the answer, where there may be any."""
    must_be_traced: bool = False
    """Passages were read: an answer that rests on none of them is said to."""

    def told(self, event: LlmEvent) -> list[TurnEvent]:
        """What the caller hears of a model's event."""
        if isinstance(event, LlmDone):
            self.done = True
            return [*_delta(self.cited.finish() if self.cited else ""), self._end(event)]
        if self.first_token_ms is None:
            self.first_token_ms = self.clock.now_ms()
        return _delta(self.cited.feed(event.text) if self.cited else event.text)

    def refused(self) -> TurnDone:
        """The end of a turn that no model answered."""
        return TurnDone(
            finish_reason="stop",
            usage=LlmUsage(prompt_tokens=0, completion_tokens=0),
            tokens_per_s=0.0,
            first_token_ms=self.clock.now_ms(),
            waterfall=tuple(self.spans),
            notes=tuple(self.notes),
        )

    def _end(self, done: LlmDone) -> TurnDone:
        end_ms = self.clock.now_ms()
        first_ms = end_ms if self.first_token_ms is None else self.first_token_ms
        return TurnDone(
            finish_reason=done.finish_reason,
            usage=done.usage,
            tokens_per_s=done.timings.tokens_per_s,
            first_token_ms=first_ms,
            waterfall=self._waterfall(done.timings.queue_ms, first_ms, end_ms),
            notes=(*self.notes, *self._last_notes()),
        )

    def _waterfall(self, queue_ms: float, first_ms: float, end_ms: float) -> tuple[Span, ...]:
        started_ms = min(self.asked_ms + queue_ms, first_ms)
        return (
            *self.spans,
            span("queue", self.asked_ms, started_ms),
            span("first token", started_ms, first_ms),
            span("answer", first_ms, end_ms),
        )

    def _last_notes(self) -> list[str]:
        notes = []
        if self.n_left_out:
            what = "message was" if self.n_left_out == 1 else f"{self.n_left_out} messages were"
            notes.append(f"The conversation is longer than the model can read: the oldest {what} left out.")
        if self.must_be_traced and self.cited is not None and not self.cited.cited:
            notes.append(NOT_TRACED)
        return notes


def _delta(text: str) -> list[TurnEvent]:
    return [TextDelta(text=text)] if text else []
