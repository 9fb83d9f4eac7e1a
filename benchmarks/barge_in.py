"""Interruptions: how long the answer can still be heard, and how long the model still works."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from benchmarks.microphone import Speech
from benchmarks.mock_voice import LOG, SLOWLY
from benchmarks.realtime_client import SOUND, conversation
from benchmarks.systems import Product
from benchmarks.voice_prompts import MAX_TOKENS
from benchmarks.voice_turns import settings

HEARD_S = 0.6
"""Of the answer, before somebody interrupts it."""
WAIT_S = 2.0
STARTED = "input_audio_buffer.speech_started"
SUSPECTED = "raydio.barge_in.suspected"
CONFIRMED = "raydio.barge_in.confirmed"

BEGINNINGS = {"Wait,": "“wait”", "": "other words"}
"""What the user begins with; commands are trusted sooner (`serve_apps.realtime.barge_in`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """One interruption, in milliseconds."""

    suspected_ms: float
    """From its first sample until the client turns the answer down: somebody may be speaking."""
    lag_ms: float
    """From the sound that made it clear until the client is silent."""
    silent_ms: float
    """From its first sample until the client is silent: it is an interruption."""
    stopped_ms: float
    """From the client's silence until the model stops; negative when that came first."""


def interruptions(product: Product, words: Speech, beginning: str, n_times: int) -> list[Interrupted]:
    """Ask for a long answer, interrupt it, in a session of its own each time.

    Args:
        product: on the mock engines.
        words: the interruption.
        beginning: what the mock recogniser hears before them, one of `BEGINNINGS`.
        n_times: how often.
    """

    async def all_of_them() -> list[Interrupted]:
        return [await _interrupt(product, words, beginning) for _ in range(n_times)]

    return asyncio.run(all_of_them())


async def _interrupt(product: Product, words: Speech, beginning: str) -> Interrupted:
    async with conversation(product.target) as talk:
        await talk.update(settings(MAX_TOKENS, hands_free=True))
        await talk.update({"audio": {"input": {"transcription": {"prompt": beginning}}}})
        mark = talk.mark()
        await talk.ask(f"Tell it {SLOWLY}.")
        await talk.wait(SOUND, mark)
        await asyncio.sleep(HEARD_S)
        mark, spoken = talk.mark(), talk.microphone.say(words)
        suspected_at, _ = await talk.wait(SUSPECTED, mark)
        _, confirmed = await talk.wait(CONFIRMED, mark)
        silent_at, _ = await talk.wait(STARTED, mark)
        stopped_at = await _model_stopped(product, spoken.began_at)
        return Interrupted(
            suspected_ms=1000 * (suspected_at - spoken.began_at),
            lag_ms=1000 * (silent_at - talk.microphone.made_at(confirmed["audio_ms"] / 1000)),
            silent_ms=1000 * (silent_at - spoken.began_at),
            stopped_ms=1000 * (stopped_at - silent_at),
        )


async def _model_stopped(product: Product, since: float) -> float:
    """When the mock model was stopped, which it writes down by itself.

    Raises:
        TimeoutError: it went on.
    """
    log = product.home / LOG
    deadline = time.perf_counter() + WAIT_S
    while time.perf_counter() < deadline:
        for line in reversed(log.read_text().splitlines()):
            what, _, at = line.partition(" ")
            if what == "stopped" and float(at) > since:
                return float(at)
        await asyncio.sleep(0.02)
    raise TimeoutError("The model went on after its answer had been interrupted.")
