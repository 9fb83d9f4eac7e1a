"""From the user's sound to the item's words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from serve_apps.contracts import Stt
from serve_apps.errors import RaydioError, UnsupportedOption
from serve_apps.realtime import config
from serve_apps.realtime import server_events as tell
from serve_apps.realtime.answer import Answer
from serve_apps.realtime.conversation import Item
from serve_apps.realtime.response import Moments
from serve_apps.realtime.speculation import Speculation
from serve_apps.turns import span
from serve_apps.wire import STT_RATE_HZ, Audio, Samples, SttOptions


async def understood(
    stt: Stt, heard: Samples, wanted: config.Transcription | None, skip_s: float = 0.0
) -> str:
    """Transcribe speech.

    Args:
        stt: does it.
        heard: at 16 kHz, shape (n_samples,).
        wanted: language and spellings.
        skip_s: so much of its beginning is context: heard for the sake of what follows, and left out.

    Raises:
        RaydioError: stt failed.
    """
    language = (wanted.language if wanted else None) or None
    options = SttOptions(language=language, prompt=(wanted.prompt if wanted else None) or "")
    if skip_s > 0:
        said = await _said_after(stt, heard, options, skip_s)
        if said is not None:
            return said
        heard = heard[round(skip_s * STT_RATE_HZ) :]
    return (await stt.transcribe(Audio(samples=heard, rate_hz=STT_RATE_HZ), options)).text


async def _said_after(stt: Stt, heard: Samples, options: SttOptions, skip_s: float) -> str | None:
    """The words whose middle comes after `skip_s`; None where the engine does not know their times."""
    try:
        sound = Audio(samples=heard, rate_hz=STT_RATE_HZ)
        transcript = await stt.transcribe(sound, replace(options, words=True))
    except UnsupportedOption:
        return None
    if not all(segment.words for segment in transcript.segments):
        return None
    words = [word for segment in transcript.segments for word in segment.words]
    return " ".join(word.text.strip() for word in words if word.start_s + word.end_s >= 2 * skip_s)


async def put_into_words(
    item: Item,
    speculation: Speculation,
    moments: Moments,
    emit: Callable[[dict[str, Any]], None],
    words_came: Callable[[Answer | None], None],
    *,
    told: bool = True,
) -> None:
    """Wait for the transcript of a user's item, tell it, and hand on the answer that is being made.

    Args:
        item: gets its text.
        speculation: is at work on it; its answer belongs to `words_came` afterwards.
        moments: get the transcript's span.
        emit: tells the client.
        words_came: called with the answer, if one was begun; not called when stt fails.
        told: whether the client wants to know the words; that there are none it hears in any case.
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
    for event in tell.transcribed(item.id, item.text, duration_s) if told else ():
        emit(event)
    words_came(speculation.take_answer())
