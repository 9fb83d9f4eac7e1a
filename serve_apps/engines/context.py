"""Does a prompt with its answer fit in a model's context?"""

from __future__ import annotations

from serve_apps.errors import ContextOverflow


def answer_limit(*, prompt_tokens: int, max_tokens: int | None, default: int, context_tokens: int) -> int:
    """How many tokens the answer may have: what the caller asked, or the default cut to the room left.

    Raises:
        ContextOverflow: there is no room for what was asked, or for any answer.
    """
    room = context_tokens - prompt_tokens
    if room < (max_tokens or 1):
        asked = f" and the answer {max_tokens:,}" if max_tokens else ""
        raise ContextOverflow(
            f"The prompt has {prompt_tokens:,} tokens{asked}; the model's context holds {context_tokens:,}.",
            "Shorten the conversation or its documents, or ask for a shorter answer.",
        )
    return max_tokens or min(default, room)
