"""From the user's sound to the item's words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from serve_apps.errors import RaydioError
from serve_apps.realtime import server_events as tell
from serve_apps.realtime.answer import Answer
from serve_apps.realtime.conversation import Item
from serve_apps.realtime.response import Moments
from serve_apps.realtime.speculation import Speculation
from serve_apps.turns import span
from serve_apps.wire import STT_RATE_HZ


async def put_into_words(
    item: Item,
    speculation: Speculation,
    moments: Moments,
    emit: Callable[[dict[str, Any]], None],
    understood: Callable[[Answer | None], None],
) -> None:
    """Wait for the transcript of a user's item, tell it, and hand on the answer that is being made.

    Args:
        item: gets its text.
        speculation: is at work on it; its answer belongs to `understood` afterwards.
        moments: get the transcript's span.
        emit: tells the client.
        understood: called with the answer, if one was begun; not called when stt fails.
    """
    try:
        item.text = await speculation.understood()
    except RaydioError as error:
        item.text = ""
        emit(tell.not_transcribed(item.id, error))
        return
    except asyncio.CancelledError:
        await speculation.drop()
        raise
    ended_at = moments.speech_ended_at
    done_at = speculation.understood_at or speculation.began_at
    moments.transcript = span(
        "transcript", 1000 * (speculation.began_at - ended_at), 1000 * (done_at - ended_at)
    )
    duration_s = 0.0 if item.audio is None else len(item.audio) / STT_RATE_HZ
    for event in tell.transcribed(item.id, item.text, duration_s):
        emit(event)
    understood(speculation.take_answer())
