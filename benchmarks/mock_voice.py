"""Engines for a spoken turn that cost nothing, for measuring everything but the models.

Selected in a Serve config as `engine: benchmarks.mock_voice:VoiceLlm` and so on. They are deterministic: what
was heard says how much sound arrived, and what is said tells a lost clause from a whole answer.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.mock_engine import MockStt, MockTts, card
from serve_apps.args import LlmArgs, TtsArgs
from serve_apps.wire import (
    STT_RATE_HZ,
    Audio,
    ChatRequest,
    LlmDelta,
    LlmDone,
    LlmEvent,
    LlmTimings,
    LlmUsage,
    Message,
    Samples,
    Segment,
    SpeakRequest,
    SttOptions,
)

CLAUSE = "The river runs past the old mill. "
"""What the model says, over and over. A whole sentence: some systems speak nothing shorter."""
SLOWLY = "slowly"
"""With this word in the question a token takes `SLOW_S`, so that there is something to interrupt."""
SLOW_S = 0.02
WORD_S = 0.15
"""Speech of one word; longer than `SLOW_S`, so that an answer is never waited for while it is played."""
LOG = "mock-llm.log"
"""In RAYDIO_HOME: a line `began|ended|stopped SECONDS` a request, on the system's monotonic clock."""
LOUD = 0.01
"""Root mean square (-40 dB) above which 20 ms count as speech."""
_FRAME = STT_RATE_HZ // 50


def loud_s(samples: Samples) -> float:
    """Seconds of speech, whatever silence is around it: 16 kHz, shape (n_samples,)."""
    frames = samples[: len(samples) // _FRAME * _FRAME].reshape(-1, _FRAME)
    return float((np.square(frames).mean(axis=1) > LOUD**2).sum()) * _FRAME / STT_RATE_HZ


def heard(samples: Samples, prompt: str = "") -> str:
    """The transcript of anything; `prompt` is heard as well, so that a caller can choose the words."""
    return f"{prompt} I talked for {loud_s(samples):.1f} seconds.".strip()


def answer(n_tokens: int) -> list[str]:
    """The tokens of an answer, a word each."""
    words = [f"{word} " for word in CLAUSE.split()]
    return [words[i % len(words)] for i in range(n_tokens)]


def spoken_s(text: str) -> float:
    """How long the mock voice takes to say it."""
    return len(text.split()) * WORD_S


class VoiceStt(MockStt):
    """Hears for how long somebody talked."""

    def transcribe(self, samples: Samples, options: SttOptions) -> list[Segment]:
        """One segment as long as the audio."""
        return [Segment(text=heard(samples, options.prompt), start_s=0.0, end_s=len(samples) / STT_RATE_HZ)]


class VoiceLlm:
    """Says `CLAUSE` until it has said `max_tokens` words, at once or `SLOWLY`."""

    context_tokens = 1_000_000

    def __init__(self, args: LlmArgs) -> None:
        self.card = card("llm")
        self.n_workers = args.n_workers
        self.control_tokens: tuple[str, ...] = ()
        self._max_tokens = args.max_tokens
        home = os.environ.get("RAYDIO_HOME")
        self._log = Path(home) / LOG if home else None

    async def stream_chat(self, request: ChatRequest) -> AsyncGenerator[LlmEvent, None]:
        """Yield one delta a word."""
        n_tokens = request.max_tokens or self._max_tokens
        pause_s = SLOW_S if SLOWLY in request.messages[-1].content else 0.0
        self._note("began")
        try:
            for word in answer(n_tokens):
                await asyncio.sleep(pause_s)
                yield LlmDelta(text=word, n_tokens=1)
        except (asyncio.CancelledError, GeneratorExit):
            self._note("stopped")
            raise
        self._note("ended")
        yield LlmDone(
            finish_reason="stop",
            usage=LlmUsage(prompt_tokens=self.count_tokens(request.messages), completion_tokens=n_tokens),
            timings=LlmTimings(queue_ms=0, first_token_ms=0, total_ms=0, tokens_per_s=0),
        )

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Words."""
        return sum(len(message.content.split()) for message in messages)

    def text_tokens(self, texts: Sequence[str]) -> list[int]:
        """Words of each."""
        return [len(text.split()) for text in texts]

    def close(self) -> None:
        """Nothing to free."""

    def _note(self, what: str) -> None:
        if self._log is not None:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with self._log.open("a") as log:
                log.write(f"{what} {time.perf_counter()}\n")


class VoiceTts(MockTts):
    """Says each word as a tone, at the default engine's rate."""

    rate_hz = 22_050

    def __init__(self, args: TtsArgs) -> None:
        super().__init__(args)
        seconds = np.arange(round(WORD_S * self.rate_hz)) / self.rate_hz
        self._word = (0.3 * np.sin(2 * np.pi * 300 * seconds)).astype(np.float32)

    def speak(self, request: SpeakRequest) -> Iterator[Audio]:
        """One piece a word."""
        for _ in request.text.split():
            yield Audio(samples=self._word, rate_hz=self.rate_hz)
