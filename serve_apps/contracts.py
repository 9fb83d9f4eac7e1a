"""Protocols: what an engine is, and what a stage, a conductor and the cluster look like to callers.

No library but typing, so that pages and engines can be checked against them without Ray.
A stage's Protocol has two implementations: the client over a Serve handle (`clients.py`), and the
stage object itself. Streams are generators, because closing them is part of the contract: it stops the work.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from serve_apps.contracts_conversations import Conversations
from serve_apps.contracts_knowledge import Ingest, Knowledge
from serve_apps.wire import (
    ApplicationStatus,
    Audio,
    ChatRequest,
    LlmEvent,
    Message,
    ModelCard,
    QueryVector,
    Ranked,
    Samples,
    Segment,
    SpeakRequest,
    StageReport,
    SttOptions,
    Transcript,
    TranscriptUpdate,
    TurnEvent,
    TurnRequest,
    Vectors,
    Voice,
    VoiceTurnRequest,
)

# ---- engines: constructed as `EngineClass(args)`, loading their weights, blocking --------------


class LlmEngine(Protocol):
    """A language model library."""

    card: ModelCard
    context_tokens: int
    n_workers: int
    """Requests it works on at once; the stage queues the others fairly."""
    control_tokens: tuple[str, ...]
    """What its template marks turns with, `<|im_end|>`: text that must not come from a message."""

    def stream_chat(self, request: ChatRequest) -> AsyncGenerator[LlmEvent, None]:
        """Yield deltas, one a token, then one LlmDone. Never blocks the event loop.

        Closing the iterator, or cancelling its consumer, stops the model within one token.
        `timings.queue_ms` is 0: the stage owns the queue.

        Raises:
            ContextOverflow, UnsupportedOption.
        """
        ...

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of the templated prompt."""
        ...

    def text_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text by itself, without the template around it."""
        ...

    def close(self) -> None:
        """Free the model."""
        ...


class SttEngine(Protocol):
    """A speech recogniser. Blocking: the stage calls it on its own thread."""

    card: ModelCard
    languages: tuple[str, ...]
    """ISO 639-1 codes it understands."""
    max_window_s: float
    """The longest stretch of speech one call may hold."""

    def transcribe(self, samples: Samples, options: SttOptions) -> list[Segment]:
        """Recognise one stretch of speech: float32, shape (n_samples,), 16_000 Hz."""
        ...

    def close(self) -> None:
        """Free the model."""
        ...


class TtsEngine(Protocol):
    """A speech synthesiser. Blocking: the stage iterates it on its own thread."""

    card: ModelCard
    rate_hz: int
    can_clone: bool

    def voices(self) -> list[Voice]:
        """Every voice, the default first."""
        ...

    def speak(self, request: SpeakRequest) -> Generator[Audio, None, None]:
        """Yield sound at `rate_hz`, the first as early as possible. Closing it stops the engine.

        `words` are those of `request.text` that begin in the piece, for engines that know.

        Raises:
            UnknownName, UnsupportedOption.
        """
        ...

    def close(self) -> None:
        """Free the model."""
        ...


class EmbeddingsEngine(Protocol):
    """A text encoder. Blocking: the stage calls it on its own thread."""

    card: ModelCard
    dimensions: int
    max_tokens: int
    """Longer texts are cut there."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """L2-normalised vectors, float32, shape (len(texts), dimensions)."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Tokens of all texts together, as the model reads them."""
        ...

    def close(self) -> None:
        """Free the model."""
        ...


class RerankerEngine(Protocol):
    """Judges passages against a query. Blocking: the stage calls it on its own thread."""

    card: ModelCard

    def score(self, query: str, passages: Sequence[str], vector: QueryVector | None = None) -> list[float]:
        """One score a passage, higher is better; an engine of the vector's model need not make it again."""
        ...

    def close(self) -> None:
        """Free the model."""
        ...


# ---- stages, as callers see them ---------------------------------------------------------------


class Described(Protocol):
    """Every stage can say what it runs."""

    async def describe(self) -> StageReport:
        """Its card and counters, from one replica."""
        ...


class Llm(Described, Protocol):
    """The language model stage."""

    def stream_chat(self, request: ChatRequest) -> AsyncGenerator[LlmEvent, None]:
        """Yield deltas (the first at once, later ones coalesced), then one LlmDone."""
        ...

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text as the model reads it, without the template around it."""
        ...


class Stt(Described, Protocol):
    """The speech-to-text stage."""

    async def transcribe(self, audio: Audio, options: SttOptions) -> Transcript:
        """Transcribe up to the stage's `max_audio_s`, at any rate; empty when nobody speaks."""
        ...

    def stream_transcribe(self, audio: Audio, options: SttOptions) -> AsyncGenerator[TranscriptUpdate, None]:
        """The same, yielding everything heard so far after each stretch of speech."""
        ...


class Tts(Described, Protocol):
    """The text-to-speech stage."""

    async def voices(self) -> list[Voice]:
        """Every voice, the default first."""
        ...

    def stream_speak(self, request: SpeakRequest) -> AsyncGenerator[Audio, None]:
        """Yield chunks in playing order: a short one at once, then longer ones."""
        ...


class Embeddings(Described, Protocol):
    """The embeddings stage."""

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """L2-normalised vectors, float32, shape (len(texts), d); callers are batched together."""
        ...


class Reranker(Described, Protocol):
    """The reranking stage."""

    async def rank(
        self,
        query: str,
        passages: Sequence[str],
        top_n: int | None = None,
        vector: QueryVector | None = None,
    ) -> list[Ranked]:
        """The best `top_n` passages (all by default), best first; a vector may save making the query's."""
        ...


# ---- conductors and cluster --------------------------------------------------------------------


class Chat(Protocol):
    """A written turn: one call, one stream of events, ending in TurnDone or TurnFailed."""

    def stream_turn(self, request: TurnRequest) -> AsyncGenerator[TurnEvent, None]:
        """Yield the turn's events. Closing the iterator stops the models."""
        ...


class VoiceChat(Protocol):
    """A spoken turn: one call, one stream of events, ending in TurnDone or TurnFailed."""

    def stream_turn(self, request: VoiceTurnRequest) -> AsyncGenerator[TurnEvent, None]:
        """Yield the turn's events. Closing the iterator stops the models."""
        ...


class Cluster(Protocol):
    """What runs."""

    async def applications(self) -> list[ApplicationStatus]:
        """Every application of the config, in route order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """Everything a page or door may call."""

    llm: Llm
    stt: Stt
    tts: Tts
    embeddings: Embeddings
    reranker: Reranker
    chat: Chat
    voice: VoiceChat
    knowledge: Knowledge
    ingest: Ingest
    conversations: Conversations
    cluster: Cluster
    embeddings_of: Callable[[str], Embeddings]
    """The embeddings stage of another application (`embeddings-2`), where a config names several."""
