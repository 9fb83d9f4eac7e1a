"""Spoken turns with one person at a time, each timed to the first sound of the answer.

Every turn is a session of its own, so that each is asked the same; leaving it stops the models.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

from websockets.asyncio.client import connect

from benchmarks.microphone import Microphone, Speech
from benchmarks.raw_http import Target
from benchmarks.realtime_client import RATE_HZ, SOUND, WAIT_S, Conversation, conversation
from benchmarks.voice_prompts import LONG_QUESTION
from serve_apps.wire import STT_RATE_HZ

SILENCE_MS = 500
"""The end of a turn, for all systems: the protocol's default."""
LEAD_S = 0.3
"""A quiet room before the first word."""
QUIET_S = 0.3
"""Without a piece of sound for this long, an answer is over."""


def settings(n_tokens: int | None, *, hands_free: bool) -> dict[str, Any]:
    """Of a session; `n_tokens` None for the product's own limit."""
    detection = {"type": "server_vad", "silence_duration_ms": SILENCE_MS} if hands_free else None
    chosen: dict[str, Any] = {
        "audio": {"input": {"turn_detection": detection}},
        "raydio": {"temperature": 0},
    }
    return chosen if n_tokens is None else chosen | {"max_output_tokens": n_tokens}


def hands_free_ms(target: Target, words: Speech, n_turns: int, n_tokens: int | None) -> list[float]:
    """From the last sample of speech to the first of the answer, the silence between them included."""

    async def turn() -> float:
        async with conversation(target) as talk:
            await talk.update(settings(n_tokens, hands_free=True))
            return await voice_to_voice_ms(talk, words)

    return _each(*(turn() for _ in range(n_turns)))


async def voice_to_voice_ms(talk: Conversation, words: Speech) -> float:
    """One turn in an open session."""
    await asyncio.sleep(LEAD_S)
    mark, spoken = talk.mark(), talk.microphone.say(words)
    first_at, _ = await talk.wait(SOUND, mark)
    return 1000 * (first_at - spoken.ended_at)


def pushed_ms(target: Target, words: Speech, n_turns: int, n_tokens: int | None) -> list[float]:
    """Push to talk: from letting go of the button to the first sound. Nothing can be done ahead."""
    samples = Speech(words.in_room(LEAD_S)).at(RATE_HZ)

    async def turn() -> float:
        async with conversation(target, microphone=False) as talk:
            await talk.update(settings(n_tokens, hands_free=False))
            await talk.append_at_once(samples)
            await asyncio.sleep(0.05)  # it would have been there long before
            mark, started = talk.mark(), time.perf_counter()
            await talk.send("input_audio_buffer.commit")
            await talk.send("response.create")
            first_at, _ = await talk.wait(SOUND, mark)
            return 1000 * (first_at - started)

    return _each(*(turn() for _ in range(n_turns)))


def long_answer_ms(target: Target, n_turns: int) -> list[float]:
    """A typed question with a long answer: from asking to its first sound."""

    async def turn() -> float:
        async with conversation(target, microphone=False) as talk:
            await talk.update(settings(None, hands_free=False))
            mark, started = talk.mark(), time.perf_counter()
            await talk.ask(LONG_QUESTION)
            first_at, _ = await talk.wait(SOUND, mark)
            return 1000 * (first_at - started)

    return _each(*(turn() for _ in range(n_turns)))


def pipecat_ms(url: str, words: Speech, n_turns: int) -> list[float]:
    """As `hands_free_ms`, of Pipecat: bare samples over a WebSocket."""

    async def turn() -> float:
        async with connect(url, compression=None) as socket:
            microphone = Microphone(STT_RATE_HZ, socket.send)
            running = asyncio.create_task(microphone.run())
            try:
                await asyncio.sleep(LEAD_S)
                spoken = microphone.say(words)
                async with asyncio.timeout(WAIT_S):
                    await socket.recv()
                first_at = time.perf_counter()
                await _until_quiet(socket.recv)
                return 1000 * (first_at - spoken.ended_at)
            finally:
                running.cancel()

    return _each(*(turn() for _ in range(n_turns)))


async def _until_quiet(receive: Any) -> None:
    try:
        while True:
            async with asyncio.timeout(QUIET_S):
                await receive()
    except TimeoutError:
        return


def _each(*turns: Coroutine[Any, Any, float]) -> list[float]:
    async def one_after_the_other() -> list[float]:
        return [await turn for turn in turns]

    return asyncio.run(one_after_the_other())
