"""The handlers of the voice page: a spoken or typed question in, the log and the player's sound out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import gradio as gr
import numpy as np

from serve_apps.contracts import VoiceChat
from serve_apps.errors import EmptyInput, RaydioError, StageError
from serve_apps.media import encode, read
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
Shown = tuple[Any, list[ChatMessage] | Any, Any]
"""New values of the box, the log and the player."""


def idle() -> Any:
    """The box ready for a message."""
    return gr.update(submit_btn=True, stop_btn=False)


def busy(*, clear: bool) -> Any:
    """The box with Stop instead of Send."""
    buttons: dict[str, Any] = {"submit_btn": False, "stop_btn": True}
    return gr.update(value="", **buttons) if clear else gr.update(**buttons)


class Conversation:
    """The handlers of the page; each yields new values of the box, the log and the player."""

    def __init__(self, voice: VoiceChat) -> None:
        self._voice = voice

    async def recorded(
        self, log: list[ChatMessage], voice: str, speed: float, event: gr.EventData, request: gr.Request
    ) -> AsyncIterator[Shown]:
        """Answer what the button recorded."""
        with shell.shown():
            audio = clip(event)
        async for shown in self._turn(log, audio, "", _asked(voice, speed, request)):
            yield shown

    async def sample(
        self, log: list[ChatMessage], voice: str, speed: float, request: gr.Request
    ) -> AsyncIterator[Shown]:
        """Answer the recorded question that comes with the page."""
        audio = await asyncio.to_thread(read, SAMPLE)
        async for shown in self._turn(log, audio, "", _asked(voice, speed, request)):
            yield shown

    async def typed(
        self, text: str, log: list[ChatMessage], voice: str, speed: float, request: gr.Request
    ) -> AsyncIterator[Shown]:
        """Answer what is in the box, aloud."""
        if not text.strip():
            yield gr.skip(), gr.skip(), gr.skip()
            return
        async for shown in self._turn(log, None, text, _asked(voice, speed, request)):
            yield shown

    async def retry(
        self, log: list[ChatMessage], voice: str, speed: float, event: gr.RetryData, request: gr.Request
    ) -> AsyncIterator[Shown]:
        """Answer the question above again."""
        index = event.index if isinstance(event.index, int) else event.index[0]
        before, question = question_at(log, index)
        async for shown in self._turn(before, None, question, _asked(voice, speed, request)):
            yield shown

    async def _turn(
        self, before: list[ChatMessage], audio: Audio | None, typed: str, asked: VoiceTurnRequest
    ) -> AsyncIterator[Shown]:
        answer = SpokenAnswer(typed)
        history = [*before, *([said("user", defuse(typed))] if typed else [])]
        turn = replace(asked, audio=audio, turn=replace(asked.turn, messages=conversation(history)))
        yield busy(clear=bool(typed)), [*before, *answer.messages()], None
        with PlayerStream() as sound:
            try:
                async for events in batches(self._voice.stream_turn(turn)):
                    silent = sound.value() is None
                    for event in events:
                        answer.add(event)
                    for piece in answer.new_sound():
                        sound.add(piece)
                    yield gr.skip(), [*before, *answer.messages()], _first(sound, silent=silent)
            except RaydioError as error:
                answer.fail(error)
        yield idle(), [*before, *answer.messages()], gr.skip()


def _first(sound: PlayerStream, *, silent: bool) -> Any:
    """The player's value with the first sound; it asks for the rest itself."""
    value = sound.value() if silent else None
    return gr.skip() if value is None else value


def _asked(voice: str | None, speed: float, request: gr.Request) -> VoiceTurnRequest:
    turn = TurnRequest(messages=(), caller=request.session_hash or "")
    return VoiceTurnRequest(audio=None, turn=turn, voice=voice or "", speed=speed)


def endpoint(voice: VoiceChat) -> Callable[..., AsyncIterator[tuple[str, str, bytes | None]]]:
    """The function behind `/turn`."""

    async def turn(
        audio: str | None, history: list[ChatMessage] | None, name: str = "", speed: float = 1.0
    ) -> AsyncIterator[tuple[str, str, bytes | None]]:
        """Answer a recorded question: transcript and answer as they grow, then the speech."""
        with shell.shown():
            if not audio:
                raise EmptyInput("There is no recording.", "Send an audio file.")
            request = VoiceTurnRequest(
                audio=await asyncio.to_thread(read, audio),
                turn=TurnRequest(messages=conversation(history or [])),
                voice=name,
                speed=speed,
            )
            answer, pieces = SpokenAnswer(), list[Audio]()
            async for events in batches(voice.stream_turn(request)):
                for event in events:
                    if isinstance(event, TurnFailed):
                        raise StageError(event.stage, event.message, retry_after_s=event.retry_after_s)
                    answer.add(event)
                pieces += answer.new_sound()
                yield answer.question, answer.text, None
            yield answer.question, answer.text, _wav(pieces)

    return turn


def _wav(pieces: list[Audio]) -> bytes | None:
    if not pieces:
        return None
    samples = np.concatenate([piece.samples for piece in pieces])
    return encode(Audio(samples=samples, rate_hz=pieces[0].rate_hz), "wav")
