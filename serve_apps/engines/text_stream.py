"""Tokens to text, one at a time: never half a character, never past a stop string."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream


class StopStrings:
    """Cuts a stream of text before the first of some strings, also when it comes in pieces."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.hit = False
        """A stop string was met; nothing more will come out."""

    def push(self, text: str) -> str:
        """Add text; return what can no longer be the beginning of a stop string."""
        if self.hit:
            return ""
        text = self._held + text
        found = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self.hit, self._held = True, ""
            return text[: min(found)]
        n_held = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - n_held :]
        return text[: len(text) - n_held]

    def flush(self) -> str:
        """What was held back, at the end of the answer."""
        held, self._held = self._held, ""
        return held


class TextStream:
    """Detokenises one answer incrementally."""

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._decoder = DecodeStream(skip_special_tokens=True)
        self._stops = StopStrings(stops)

    @property
    def stopped(self) -> bool:
        """A stop string was met."""
        return self._stops.hit

    def push(self, token: int) -> str:
        """The text that this token completes; empty while a character or stop string is unfinished."""
        return self._stops.push(self._decoder.step(self._tokenizer, token) or "")

    def flush(self) -> str:
        """The rest, at the end of the answer; an unfinished character is dropped."""
        return self._stops.flush()


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    longest = min(len(stop) - 1, len(text))
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
