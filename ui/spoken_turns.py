"""The handlers of the voice page: a spoken or typed question in, the log and the player's sound out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

import gradio as gr
import numpy as np

from serve_apps.contracts import VoiceChat
from serve_apps.errors import AudioTooLong, EmptyInput, RaydioError, StageError
from serve_apps.media import encode, read, read_blocks
from serve_apps.settings import ASSETS
from serve_apps.wire import Audio, TurnFailed, TurnRequest, VoiceTurnRequest
from ui import shell
from ui.answer import ChatMessage, conversation, question_at, said
from ui.markup import defuse
from ui.pacing import batches
from ui.player import PlayerStream
from ui.recorder import clip
from ui.spoken_answer import SpokenAnswer

SAMPLE = ASSETS / "samples" / "question.ogg"
LONGEST_FILE_S = 120.0
"""A longer file is not a question; the speech to text page takes it."""
Shown = tuple[Any, list[ChatMessage] | Any, Any]
"""New values of the box, the log and the player."""


def idle() -> Any:
    """The box ready for a message."""
    return gr.update(submit_btn="Send", stop_btn=False)


def busy(*, clear: bool) -> Any:
    """The box with Stop instead of Send."""
    buttons: dict[str, Any] = {"submit_btn": False, "stop_btn": "Stop"}
    return gr.update(value="", **buttons) if clear else gr.update(**buttons)


@dataclass(slots=True)
class Turn:
    """A turn under way in one tab.

    Not ended by Gradio's `cancels`: its last updates may arrive after those of the handler that cancels.
    """

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    discard: bool = False
    """The log was cleared: show nothing of it."""
    overtaken: bool = False
    """The next turn has begun: the page is its business now."""


class Conversation:
    """The handlers of the page; each yields new values of the box, the log and the player."""

    def __init__(self, voice: VoiceChat) -> None:
        self._voice = voice
        self._turns: dict[str, Turn] = {}

    async def stop(self, request: gr.Request) -> None:
        """End this tab's turn; what came stays."""
        if turn := self._turns.get(request.session_hash or ""):
            turn.stop.set()

    async def discard(self, request: gr.Request) -> None:
        """End this tab's turn and forget what came."""
        if turn := self._turns.get(request.session_hash or ""):
            turn.discard = True
            turn.stop.set()

    async def recorded(
        self, log: list[ChatMessage], voice: str, speed: float, event: gr.EventData, request: gr.Request
    ) -> AsyncIterator[Shown]:
        """Answer what the button recorded."""
        with shell.shown():
            audio = clip(event)
        async with aclosing(self._turn(log, audio, "", _asked(voice, speed, request))) as turn:
            async for shown in turn:
                yield shown

    async def sample(
        self, log: list[ChatMessage], voice: str, speed: float, request: gr.Request
    ) -> AsyncIterator[Shown]:
        """Answer the recorded question that comes with the page."""
        audio = await asyncio.to_thread(read, SAMPLE)
        async with aclosing(self._turn(log, audio, "", _asked(voice, speed, request))) as turn:
            async for shown in turn:
                yield shown

    async def typed(
        self, text: str, log: list[ChatMessage], voice: str, speed: float, request: gr.Request
    ) -> AsyncIterator[Shown]:
        """Answer what is in the box, aloud."""
        if not text.strip():
            yield gr.skip(), gr.skip(), gr.skip()
            return
        async with aclosing(self._turn(log, None, text, _asked(voice, speed, request))) as turn:
            async for shown in turn:
                yield shown

    async def retry(
        self, log: list[ChatMessage], voice: str, speed: float, event: gr.RetryData, request: gr.Request
    ) -> AsyncIterator[Shown]:
        """Answer the question above again."""
        index = event.index if isinstance(event.index, int) else event.index[0]
        before, question = question_at(log, index)
        async with aclosing(self._turn(before, None, question, _asked(voice, speed, request))) as turn:
            async for shown in turn:
                yield shown

    async def _turn(
        self, before: list[ChatMessage], audio: Audio | None, typed: str, asked: VoiceTurnRequest
    ) -> AsyncGenerator[Shown, None]:
        answer = SpokenAnswer(typed)
        history = [*before, *([said("user", defuse(typed))] if typed else [])]
        request = replace(asked, audio=audio, turn=replace(asked.turn, messages=conversation(history)))
        turn = self._begin(asked.turn.caller)
        yield busy(clear=bool(typed)), [*before, *answer.messages()], None
        sound: Any = None
        try:
            async with aclosing(self._events(answer, request, turn)) as sounds:
                async for sound in sounds:
                    log = gr.skip() if turn.overtaken else [*before, *answer.messages()]
                    yield gr.skip(), log, gr.skip() if turn.overtaken else sound
        finally:
            if self._turns.get(asked.turn.caller) is turn:
                del self._turns[asked.turn.caller]
        answer.stop()
        if not turn.overtaken:
            yield idle(), [] if turn.discard else [*before, *answer.messages()], sound

    def _begin(self, caller: str) -> Turn:
        """A new turn of a tab; the one before it, if it is still under way, ends unseen."""
        if earlier := self._turns.get(caller):
            earlier.overtaken = True
            earlier.stop.set()
        self._turns[caller] = Turn()
        return self._turns[caller]

    async def _events(
        self, answer: SpokenAnswer, request: VoiceTurnRequest, turn: Turn
    ) -> AsyncGenerator[Any, None]:
        """Fill `answer`; yield the player's value at the pace of a screen.

        The same value again and again: Gradio may drop one that is followed too soon by a skipped one.
        """
        events = batches(self._voice.stream_turn(request), turn.stop)
        with PlayerStream() as sound:
            try:
                async with aclosing(events) as batched:
                    async for batch in batched:
                        for event in batch:
                            answer.add(event)
                        for piece in answer.new_sound():
                            sound.add(piece)
                        yield sound.value()
            except RaydioError as error:
                answer.fail(error)


def _asked(voice: str | None, speed: float, request: gr.Request) -> VoiceTurnRequest:
    turn = TurnRequest(messages=(), caller=request.session_hash or "")
    return VoiceTurnRequest(audio=None, turn=turn, voice=voice or "", speed=speed)


def endpoint(talk: VoiceChat) -> Callable[..., AsyncIterator[tuple[str, str, bytes | None]]]:
    """The function behind `/turn`."""

    async def turn(
        audio: str | None, history: list[ChatMessage] | None, voice: str = "", speed: float = 1.0
    ) -> AsyncIterator[tuple[str, str, bytes | None]]:
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
            answer, pieces = SpokenAnswer(), list[Audio]()
            async with aclosing(batches(talk.stream_turn(request))) as batched:
                async for events in batched:
                    for event in events:
                        if isinstance(event, TurnFailed):
                            raise StageError(event.stage, event.message, retry_after_s=event.retry_after_s)
                        answer.add(event)
                    pieces += answer.new_sound()
                    yield answer.question, answer.text, None
            yield answer.question, answer.text, _wav(pieces)

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
