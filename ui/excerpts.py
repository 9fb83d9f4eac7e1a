"""The beginnings of long texts."""

from __future__ import annotations

__all__ = ["excerpt"]


def excerpt(text: str, n_characters: int) -> str:
    """The text on one line, cut after `n_characters` with an ellipsis."""
    flat = " ".join(text.split())
    return flat if len(flat) <= n_characters else f"{flat[:n_characters].rstrip()}\u2026"
