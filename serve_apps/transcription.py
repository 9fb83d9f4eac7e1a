"""Transcribe a file of any length through the stt stage, block by block: pages and doors share it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TypeVar

from serve_apps import media
from serve_apps.contracts import Stt
from serve_apps.wire import Audio, Segment, SttOptions, Transcript, TranscriptUpdate

Result = TypeVar("Result")

BLOCK_S = 30.0
"""Short enough for any stage's `max_audio_s`, long enough for a recogniser to use the context."""


async def stream_file(
    stt: Stt, source: media.Source, options: SttOptions
) -> AsyncGenerator[TranscriptUpdate]:
    """Transcribe a file at constant memory, yielding everything heard so far as it grows.

    The first item comes after the first stretch of speech, or the first half minute. Exactly one
    item, the last, is final; its `done_s` is the length of the sound that could be decoded, which
    is less than the header's (`media.probe`) when the file breaks off. Closing the iterator stops
    decoding at once and the engine within one stretch of speech.

    Args:
        stt: the stage, or its client.
        source: any file that `media.read_blocks` reads.
        options: language, word times, prompt.

    Raises:
        EmptyInput: the file has no bytes.
        AudioUnreadable: not a media file, no sound track, or nothing could be decoded.
        InputError, StageError: as `stt` raises them.
    """
    reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="decode")
    blocks = media.read_blocks(source, block_s=BLOCK_S)
    heard = Transcript(segments=(), language=options.language or "", duration_s=0.0)
    try:
        while (block := await _on(reader, lambda: next(blocks, None))) is not None:
            async with aclosing(_block(stt, block, options, heard)) as updates:
                async for update in updates:
                    yield update
            heard = update.transcript
        yield TranscriptUpdate(transcript=heard, done_s=heard.duration_s, final=True)
    finally:
        # In the reader's own thread: it may still be decoding, and a running generator cannot be closed.
        reader.submit(blocks.close)
        reader.shutdown(wait=False)


async def _block(
    stt: Stt, block: Audio, options: SttOptions, before: Transcript
) -> AsyncGenerator[TranscriptUpdate]:
    """Updates of one block, put behind what was heard before it; the last covers the whole block."""
    start_s = before.duration_s
    updates = stt.stream_transcribe(block, options)
    try:
        async for update in updates:
            own = [segment.later(start_s) for segment in update.transcript.segments]
            done_s = start_s + (block.duration_s if update.final else update.done_s)
            yield TranscriptUpdate(
                transcript=_joined(before, own, update, done_s), done_s=done_s, final=False
            )
    finally:
        # Not left to the garbage collector: the caller's Stop must reach the engine now.
        if isinstance(updates, AsyncGenerator):
            await updates.aclose()


def _joined(
    before: Transcript, own: Sequence[Segment], update: TranscriptUpdate, done_s: float
) -> Transcript:
    return Transcript(
        segments=(*before.segments, *own),
        language=before.language or update.transcript.language,
        duration_s=done_s,
    )


async def _on(thread: ThreadPoolExecutor, work: Callable[[], Result]) -> Result:
    return await asyncio.get_running_loop().run_in_executor(thread, work)
