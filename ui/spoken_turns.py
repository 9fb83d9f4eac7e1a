"""The named endpoint `/turn`: a recorded question in, its answer in words and speech out, for programs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

import numpy as np

from serve_apps.contracts import VoiceChat
from serve_apps.errors import AudioTooLong, EmptyInput, StageError
from serve_apps.media import encode, read_blocks
from serve_apps.wire import (
    Audio,
    AudioSegment,
    FinalTranscript,
    PartialTranscript,
    TextDelta,
    TurnEvent,
    TurnFailed,
    TurnRequest,
    VoiceTurnRequest,
)
from ui import shell
from ui.answer import ChatMessage, conversation
from ui.pacing import batches

LONGEST_FILE_S = 120.0
"""A longer file is not a question; the speech to text page takes it."""
Shown = tuple[str, str, bytes | None]
"""Transcript, answer, and at the end its speech as WAV."""


@dataclass(slots=True)
class SpokenAnswer:
    """Collects one turn's events."""

    question: str = ""
    text: str = ""
    pieces: list[Audio] = field(default_factory=list)

    def add(self, event: TurnEvent) -> None:
        """Take one event of the turn.

        Raises:
            StageError: the turn failed.
        """
        match event:
            case FinalTranscript(text=text) | PartialTranscript(text=text):
                self.question = text
            case TextDelta(text=text):
                self.text += text
            case AudioSegment(audio=audio):
                self.pieces.append(audio)
            case TurnFailed():
                raise StageError(event.stage, event.message, retry_after_s=event.retry_after_s)


def endpoint(talk: VoiceChat) -> Callable[..., AsyncIterator[Shown]]:
    """The function behind `/turn`."""

    async def turn(
        audio: str | None, history: list[ChatMessage] | None, voice: str = "", speed: float = 1.0
    ) -> AsyncIterator[Shown]:
        """Answer a recorded question: transcript and answer as they grow, then the speech."""
        with shell.told():
            if not audio:
                raise EmptyInput("There is no recording.", "Send an audio file.")
            request = VoiceTurnRequest(
                audio=await asyncio.to_thread(_question, audio),
                turn=TurnRequest(messages=conversation(history or [])),
                voice=voice,
                speed=speed,
            )
            answer = SpokenAnswer()
            async with aclosing(batches(talk.stream_turn(request))) as batched:
                async for events in batched:
                    for event in events:
                        answer.add(event)
                    yield answer.question, answer.text, None
            yield answer.question, answer.text, _wav(answer.pieces)

    return turn


def _question(file: str) -> Audio:
    """Decode a recorded question, and no more of it than may be one."""
    blocks: list[Audio] = []
    for block in read_blocks(file):
        blocks.append(block)
        if sum(b.duration_s for b in blocks) > LONGEST_FILE_S:
            raise AudioTooLong(
                f"The recording is longer than {LONGEST_FILE_S:g} seconds.",
                "Ask something shorter, or use the speech to text page.",
            )
    return _joined(blocks)


def _joined(pieces: list[Audio]) -> Audio:
    samples = np.concatenate([piece.samples for piece in pieces])
    return Audio(samples=samples, rate_hz=pieces[0].rate_hz)


def _wav(pieces: list[Audio]) -> bytes | None:
    return encode(_joined(pieces), "wav") if pieces else None
