"""Pasted lines and their vectors: split, checked, embedded in pieces, remembered for the next question."""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence

import numpy as np

from serve_apps.contracts import Embeddings
from serve_apps.errors import EmptyInput, TextTooLong
from serve_apps.wire import ModelCard, Vectors

__all__ = ["MAX_CHARACTERS", "MAX_LINES", "LineVectors", "checked", "split"]

MAX_LINES = 20_000
MAX_CHARACTERS = 4_000_000
CHUNK_LINES = 256
"""Lines of one call: a fifth of a second for a small model, so progress moves and Stop is quick."""
KEPT_LINES = 40_000
"""Vectors that one page remembers, for all its users: 60 MB at 384 numbers each."""

_BREAK = re.compile(r"\r\n|\r|\n")


def split(text: str) -> list[str]:
    """The lines of a paste, stripped, without blank ones; duplicates stay.

    Raises:
        EmptyInput, TextTooLong.
    """
    if len(text) > MAX_CHARACTERS:
        raise TextTooLong(
            f"The paste has more than {MAX_CHARACTERS:,} characters, which is too much for a page.",
            "Send fewer lines at a time.",
        )
    return checked(_BREAK.split(text.removeprefix("\ufeff")))


def taken(lines: Sequence[str]) -> list[str]:
    """Lines that a program sent. One string is taken apart: as a sequence of letters it would be nonsense."""
    return _BREAK.split(lines) if isinstance(lines, str) else list(lines)


def checked(lines: Sequence[str]) -> list[str]:
    """The lines that have text, stripped.

    Raises:
        EmptyInput, TextTooLong.
    """
    kept = [line.strip() for line in lines if line.strip()]
    if not kept:
        raise EmptyInput("There are no lines yet.", "Paste some, one text a line, or choose an example.")
    if len(kept) > MAX_LINES:
        raise TextTooLong(
            f"{len(kept):,} lines are over this page's limit of {MAX_LINES:,}.",
            "Send fewer lines at a time.",
        )
    if sum(map(len, kept)) > MAX_CHARACTERS:
        raise TextTooLong(f"The lines have more than {MAX_CHARACTERS:,} characters.", "Send fewer lines.")
    return kept


class LineVectors:
    """Vectors of lines, each line embedded once; least recently used ones are forgotten."""

    def __init__(self, embeddings: Embeddings) -> None:
        self._embeddings = embeddings
        self._kept: OrderedDict[bytes, Vectors] = OrderedDict()
        self._model = ""

    async def card(self) -> ModelCard:
        """What makes the vectors. Another model than before empties the memory."""
        card = (await self._embeddings.describe()).card
        model = f"{card.engine} {card.model} {card.details}"
        if model != self._model:
            self._kept.clear()
            self._model = model
        return card

    async def of(self, lines: Sequence[str]) -> Vectors:
        """Vectors of all lines, float32, shape (n, d)."""
        async for _ in self.fetch(lines):
            pass
        return np.stack([self._kept[key] for key in map(_key, lines)])

    async def fetch(self, lines: Sequence[str]) -> AsyncGenerator[int, None]:
        """Embed what is not remembered yet; yield the number of lines done after each piece.

        Closing it stops after the piece under way; what was embedded stays remembered.
        """
        await self.card()
        wanted = {_key(line): line for line in lines}
        missing = [key for key in wanted if key not in self._kept]
        for key in wanted.keys() - set(missing):
            self._kept.move_to_end(key)
        for start in range(0, len(missing), CHUNK_LINES):
            chunk = missing[start : start + CHUNK_LINES]
            vectors = await self._embeddings.embed([wanted[key] for key in chunk])
            self._kept |= zip(chunk, vectors, strict=True)
            yield len(lines) * (len(wanted) - len(missing) + start + len(chunk)) // len(wanted)
        while len(self._kept) > KEPT_LINES:
            self._kept.popitem(last=False)


def _key(line: str) -> bytes:
    return hashlib.blake2b(line.encode("utf-8", "replace"), digest_size=16).digest()
