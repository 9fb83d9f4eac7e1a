"""Many sessions at once: what idle ones cost, and whether those that talk lose anything."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

from benchmarks import machine
from benchmarks.microphone import HANGOVER_S, Speech
from benchmarks.mock_voice import answer, loud_s, spoken_s
from benchmarks.realtime_client import REPORT_EVERY_S, SOUND, Conversation, conversation
from benchmarks.systems import Product
from benchmarks.voice_turns import settings, voice_to_voice_ms

FRONT, PROXY = "ServeReplica:front", "haproxy"
N_TOKENS = 14
STAGGER_S = 0.35
SETTLE_S = 1.0
_SECONDS = re.compile(r"talked for ([\d.]+) seconds")
MAX_OFF_S = 0.1
"""Of what was heard, resampled twice and cut at frames, against what was said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What became of one turn among many."""

    voice_to_voice_ms: float
    understood: bool
    """All of the speech arrived."""
    complete: bool
    """All of the answer arrived."""
    late_ms: float
    """The longest silence inside the answer."""

    @property
    def whole(self) -> bool:
        """Nothing was lost or late."""
        return self.understood and self.complete and self.late_ms == 0


def idle_percent(product: Product, n_sessions: int, seconds: float, *, microphone: bool) -> float:
    """Processor time of the front's replica and the proxies, in percent of one core.

    With the microphone open, a quiet room travels as the page sends it.
    """

    async def run() -> float:
        async with AsyncExitStack() as stack:
            for _ in range(n_sessions):
                await stack.enter_async_context(conversation(product.target, microphone=microphone))
            await asyncio.sleep(SETTLE_S + (HANGOVER_S if microphone else 0))
            used_s, started = _cpu_s(product), time.perf_counter()
            await asyncio.sleep(seconds)
            return 100 * (_cpu_s(product) - used_s) / (time.perf_counter() - started)

    return asyncio.run(run())


def _cpu_s(product: Product) -> float:
    return machine.cpu_s("RAYDIO_HOME", str(product.home), FRONT, PROXY)


def turns_at_once(product: Product, words: Speech, n_sessions: int, n_turns: int) -> list[Turn]:
    """People who talk at the same time, each in a session, with the same engines behind them."""

    async def run() -> list[Turn]:
        talks = [_talk(product, words, n_turns, STAGGER_S * index) for index in range(n_sessions)]
        return [turn for turns in await asyncio.gather(*talks) for turn in turns]

    return asyncio.run(run())


async def _talk(product: Product, words: Speech, n_turns: int, after_s: float) -> list[Turn]:
    await asyncio.sleep(after_s)
    async with conversation(product.target) as talk:
        await talk.update(settings(N_TOKENS, hands_free=True))
        return [await _turn(talk, words) for _ in range(n_turns)]


async def _turn(talk: Conversation, words: Speech) -> Turn:
    mark = talk.mark()
    lag_ms = await voice_to_voice_ms(talk, words)
    _, sound = await talk.wait(SOUND, mark)
    _, heard = await talk.wait("conversation.item.input_audio_transcription.completed", mark)
    await talk.wait("raydio.turn", mark)
    speaker = talk.speakers[sound["item_id"]]
    # The speaker only counts, so its end is known; then the server hears that all was played.
    await asyncio.sleep(speaker.left_s(time.perf_counter()) + REPORT_EVERY_S + 0.05)
    seconds = [float(found) for found in _SECONDS.findall(heard["transcript"])]
    off_s = abs(sum(seconds) - loud_s(words.samples))
    missing_s = spoken_s("".join(answer(N_TOKENS))) - speaker.received_s
    return Turn(
        voice_to_voice_ms=lag_ms,
        understood=off_s <= MAX_OFF_S,
        complete=abs(missing_s) < 0.02,
        late_ms=1000 * max(speaker.late_s, default=0.0),
    )
