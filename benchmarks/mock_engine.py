"""Engines without a model, for measuring everything but the model.

Selected in a Serve config as `engine: benchmarks.mock_engine:MockLlm`; `engine_options` sets their pace.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

import numpy as np

from serve_apps.args import EmbeddingsArgs, LlmArgs, RerankerArgs, SttArgs, TtsArgs
from serve_apps.wire import (
    Audio,
    ChatRequest,
    LlmDelta,
    LlmDone,
    LlmEvent,
    LlmTimings,
    LlmUsage,
    Message,
    ModelCard,
    QueryVector,
    Samples,
    Segment,
    SpeakRequest,
    SttOptions,
    Vectors,
    Voice,
    Word,
)

TOKEN = "lorem "  # noqa: S105
"""Every token of the mock's answers. Counting it in raw bytes counts tokens, however they were coalesced."""


def card(stage: str) -> ModelCard:
    """What a mock says it is."""
    return ModelCard(
        stage=stage, engine="mock", model="mock", size_bytes=0, licence="Apache-2.0", source="benchmarks"
    )


class MockLlm:
    """Answers `max_tokens` tokens at a fixed pace.

    Args:
        args: `engine_options` may hold `ttft_ms` and `itl_ms`, time to the first token and between two.
    """

    context_tokens = 1_000_000

    def __init__(self, args: LlmArgs) -> None:
        self.card = card("llm")
        self.n_workers = args.n_workers
        self.control_tokens: tuple[str, ...] = ()
        self._max_tokens = args.max_tokens
        self._ttft_s = float(args.engine_options.get("ttft_ms", 0)) / 1000
        self._itl_s = float(args.engine_options.get("itl_ms", 0)) / 1000

    async def stream_chat(self, request: ChatRequest) -> AsyncIterator[LlmEvent]:
        """Yield one delta a token; with `itl_ms: 0` it still lets others run between two."""
        n_tokens = request.max_tokens or self._max_tokens
        await asyncio.sleep(self._ttft_s)
        yield LlmDelta(text=TOKEN, n_tokens=1)
        for _ in range(n_tokens - 1):
            await asyncio.sleep(self._itl_s)
            yield LlmDelta(text=TOKEN, n_tokens=1)
        yield LlmDone(
            finish_reason="length",
            usage=LlmUsage(prompt_tokens=self.count_tokens(request.messages), completion_tokens=n_tokens),
            timings=LlmTimings(queue_ms=0, first_token_ms=self._ttft_s * 1000, total_ms=0, tokens_per_s=0),
        )

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Words."""
        return sum(len(message.content.split()) for message in messages)

    def text_tokens(self, texts: Sequence[str]) -> list[int]:
        """Words of each."""
        return [len(text.split()) for text in texts]

    def close(self) -> None:
        """Nothing to free."""


class MockStt:
    """Hears one word in anything."""

    languages = ("en",)
    max_window_s = 30.0

    def __init__(self, args: SttArgs) -> None:
        del args
        self.card = card("stt")

    def transcribe(self, samples: Samples, options: SttOptions) -> list[Segment]:
        """One segment as long as the audio."""
        del options
        return [Segment(text="lorem", start_s=0.0, end_s=len(samples) / 16_000)]

    def close(self) -> None:
        """Nothing to free."""


class MockTts:
    """Says a tenth of a second of silence for every word, and when it began."""

    rate_hz = 16_000
    can_clone = False

    def __init__(self, args: TtsArgs) -> None:
        del args
        self.card = card("tts")

    def voices(self) -> list[Voice]:
        """One."""
        return [Voice(id="mock", name="Mock", language="en")]

    def speak(self, request: SpeakRequest) -> Iterator[Audio]:
        """One chunk a word."""
        samples = np.zeros(self.rate_hz // 10, dtype=np.float32)
        for word in request.text.split():
            mark = Word(text=word, start_s=0.0, end_s=0.1)
            yield Audio(samples=samples, rate_hz=self.rate_hz, words=(mark,))

    def close(self) -> None:
        """Nothing to free."""


class MockEmbeddings:
    """Puts every text on the same point."""

    dimensions = 384
    max_tokens = 512

    def __init__(self, args: EmbeddingsArgs) -> None:
        del args
        self.card = card("embeddings")

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Ones, normalised: float32, shape (len(texts), 384)."""
        return np.full((len(texts), self.dimensions), self.dimensions**-0.5, dtype=np.float32)

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Words."""
        return sum(len(text.split()) for text in texts)

    def close(self) -> None:
        """Nothing to free."""


class MockReranker:
    """Finds every passage equally good."""

    def __init__(self, args: RerankerArgs) -> None:
        del args
        self.card = card("reranker")

    def score(
        self,
        query: str,
        passages: Sequence[str],
        vector: QueryVector | None = None,  # noqa: ARG002
    ) -> list[float]:
        """Zeros."""
        del query
        return [0.0] * len(passages)

    def close(self) -> None:
        """Nothing to free."""
