"""An answer on its way out: its numbers are held back, checked at the end of their sentence, and put there.

Everything else passes at once. Code passes untouched.
"""

from __future__ import annotations

import re

from serve_apps.citations import Support

_NUMBERS = r"\[\s*\d{1,3}(?:\s*[,;]\s*\d{1,3})*\s*\]"
_PARTLY = r"\[[\s\d,;]{0,24}\]?"
_CLOSING = r"[\"'”’)*_]*"  # noqa: RUF001
_MARK = re.compile(rf"[ \t]*({_NUMBERS})(?!\()")
_MAYBE_MARK = re.compile(rf"[ \t]*(?:{_PARTLY})?\Z")
"""What could still become a number, or the space before one."""
_END = re.compile(
    rf"([.!?…]+{_CLOSING})((?:[ \t]*{_NUMBERS}(?!\())*)(?=\s)|([。！？]+)((?:{_NUMBERS})*)|(?=\n)"  # noqa: RUF001
)
_MAYBE_END = re.compile(
    rf"[.!?…]+{_CLOSING}(?:[ \t]*{_NUMBERS})*[ \t]*(?:{_PARTLY})?\Z|[。！？]+(?:{_NUMBERS})*(?:{_PARTLY})?\Z"  # noqa: RUF001
)
"""What could still become the end of a sentence, or go on after it with numbers."""
_INLINE_CODE = re.compile(r"`+[^`\n]*(?:`+|(?=\n))")
_PLAIN = re.compile(r"[^\s\[`.!?…。！？]+|[\s\S]")  # noqa: RUF001
_FENCE = "```"
_ABBREVIATION = re.compile(r"(?:^|[\s(])(?:Mr|Mrs|Ms|Dr|Prof|St|vs|e\.g|i\.e|[A-Z])\Z")
"""What a full stop follows without ending the sentence."""
_NO_SENTENCE = ("|", "#")
"""How lines begin that no number may end: tables, headings."""


class CitedText:
    """Takes an answer piece by piece, gives what can be shown.

    Args:
        support: judges sentences against the passages.
    """

    def __init__(self, support: Support) -> None:
        self._support = support
        self._held = ""
        self._sentence = ""
        self._line = ""
        self._claimed: list[int] = []
        self._in_block = False
        self.cited: set[int] = set()
        """Numbers that are in the text, from 1."""
        self.n_removed = 0
        """Numbers of the model that no passage supports."""
        self.n_without = 0
        """Sentences that say something and carry no number."""

    def feed(self, text: str) -> str:
        """What can be shown now."""
        return self._run(text, final=False)

    def finish(self) -> str:
        """The rest."""
        return self._run("\n", final=True).removesuffix("\n")

    def _run(self, text: str, *, final: bool) -> str:
        self._held += text
        shown: list[str] = []
        while self._held:
            piece = self._next(final=final)
            if piece is None:
                break
            shown.append(piece)
        return "".join(shown)

    def _next(self, *, final: bool) -> str | None:
        """The next piece to show, taken from what is held; None while more must come first."""
        held = self._held
        if self._in_block:
            return self._block(final=final)
        if held[0] == "`":
            return self._code(final=final)
        if not final and (_MAYBE_MARK.match(held) or _MAYBE_END.match(held)):
            return None
        if mark := _MARK.match(held):
            return self._claim(mark)
        end = _END.match(held)
        if end and not (end[1] == "." and _ABBREVIATION.search(self._sentence)):
            return self._sentence_end(end)
        plain = _PLAIN.match(held)
        return self._pass(plain[0] if plain else held)

    def _code(self, *, final: bool) -> str | None:
        """Inline code whole; of a block what there is, without the start of its end."""
        held = self._held
        if not final and len(held) <= len(_FENCE) and not held.strip("`"):
            return None
        if held.startswith(_FENCE):
            self._in_block = not self._in_block
            return self._pass(_FENCE)
        code = _INLINE_CODE.match(held)
        return self._pass(code[0]) if code else self._pass(held) if final else None

    def _block(self, *, final: bool) -> str | None:
        """A piece of a code block, which no number is looked for in."""
        inside, fence, _ = self._held.partition(_FENCE)
        if fence and not inside:
            return self._code(final=True)
        kept = inside if fence or final else inside.rstrip("`")
        return self._pass(kept) if kept else None

    def _pass(self, piece: str) -> str:
        self._held = self._held[len(piece) :]
        self._sentence += piece
        self._line = (self._line + piece).rpartition("\n")[2]
        return piece

    def _claim(self, mark: re.Match[str]) -> str:
        self._held = self._held[mark.end() :]
        self._claimed += _numbers(mark[1])
        return ""

    def _sentence_end(self, end: re.Match[str]) -> str:
        punctuation, marks = end[1] or end[3] or "", end[2] or end[4] or ""
        self._held = self._held[end.end() :]
        self._claimed += _numbers(marks)
        numbers = self._judged()
        self._sentence, self._claimed = "", []
        newline = ""
        if self._held.startswith("\n"):
            newline, self._held, self._line = "\n", self._held[1:], ""
        return "".join(f" [{n}]" for n in numbers) + punctuation + newline

    def _judged(self) -> tuple[int, ...]:
        if self._line.lstrip().startswith(_NO_SENTENCE) or not len(self._support):
            numbers: tuple[int, ...] = ()
        else:
            numbers = self._support.numbers(self._sentence, self._claimed)
            self.n_without += not numbers and self._support.says_something(self._sentence)
        self.n_removed += len(set(self._claimed) - set(numbers))
        self.cited.update(numbers)
        return numbers


def _numbers(marks: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", marks)]
