"""How many tokens texts have for a language model, asked once: the same passages answer many questions."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence

from serve_apps.contracts import Llm

MAX_KEPT = 20_000
"""Counts: 2 MB. By a hash, so that no text stays here when it is deleted."""
KEPT_S = 600.0
"""Another model may be deployed meanwhile, with other tokens."""


class TokenCounts:
    """Counts in a model's own tokens.

    Args:
        llm: counts what is not known.
    """

    def __init__(self, llm: Llm) -> None:
        self._llm = llm
        self._kept: dict[bytes, int] = {}
        self._until_s = 0.0

    async def of(self, texts: Sequence[str]) -> list[int]:
        """One count a text.

        Raises:
            StageError: the model could not be asked.
        """
        self._forget()
        keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts]
        known = {key: self._kept[key] for key in keys if key in self._kept}
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if new:
            counts = await self._llm.count_tokens(list(new.values()))
            known |= dict(zip(new, counts, strict=True))
            self._kept |= known
        return [known[key] for key in keys]

    def _forget(self) -> None:
        if time.monotonic() > self._until_s or len(self._kept) > MAX_KEPT:
            self._kept = {}
            self._until_s = time.monotonic() + KEPT_S
