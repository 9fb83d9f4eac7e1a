"""Typed clients of the stages and conductors over Serve handles.

The same Protocols as the stage objects themselves (`serve_apps.contracts`), so conductors, doors and pages
do not know which of the two they hold.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from functools import cache
from typing import cast

from serve_apps.clients_knowledge import ConversationsClient, IngestClient, KnowledgeClient
from serve_apps.cluster import statuses
from serve_apps.contracts import Clients
from serve_apps.shared_calls import SharedCalls
from serve_apps.stage_client import StageClient
from serve_apps.wire import (
    ApplicationStatus,
    Audio,
    ChatRequest,
    LlmEvent,
    QueryVector,
    Ranked,
    SpeakRequest,
    SttOptions,
    Transcript,
    TranscriptUpdate,
    TurnEvent,
    TurnRequest,
    Vectors,
    Voice,
    VoiceTurnRequest,
)


class LlmClient(StageClient):
    """The language model over a handle; see `contracts.Llm`. A retry happens only before the first token."""

    stage = "llm"

    def stream_chat(self, request: ChatRequest) -> AsyncGenerator[LlmEvent, None]:
        """See `contracts.Llm.stream_chat`."""
        return self._stream("stream_chat", request)

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """See `contracts.Llm.count_tokens`."""
        return cast("list[int]", await self._call("count_tokens", texts))


class SttClient(StageClient):
    """Speech to text over a handle; see `contracts.Stt`."""

    stage = "stt"

    async def transcribe(self, audio: Audio, options: SttOptions) -> Transcript:
        """See `contracts.Stt.transcribe`."""
        return cast("Transcript", await self._call("transcribe", audio, options))

    def stream_transcribe(self, audio: Audio, options: SttOptions) -> AsyncGenerator[TranscriptUpdate, None]:
        """See `contracts.Stt.stream_transcribe`."""
        return self._stream("stream_transcribe", audio, options)


class TtsClient(StageClient):
    """Text to speech over a handle; see `contracts.Tts`."""

    stage = "tts"

    async def voices(self) -> list[Voice]:
        """See `contracts.Tts.voices`."""
        return cast("list[Voice]", await self._call("voices"))

    def stream_speak(self, request: SpeakRequest) -> AsyncGenerator[Audio, None]:
        """See `contracts.Tts.stream_speak`."""
        return self._stream("stream_speak", request)


class EmbeddingsClient(StageClient):
    """Embeddings over a handle; see `contracts.Embeddings`. Short calls travel together."""

    stage = "embeddings"

    def __init__(self, application: str = "", *, timeout_s: float = 120.0) -> None:
        """See `StageClient`."""
        super().__init__(application, timeout_s=timeout_s)
        self._shared = SharedCalls(self.stage, self._embed)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """See `contracts.Embeddings.embed`."""
        return await self._shared.embed(texts)

    async def _embed(self, texts: Sequence[str]) -> Vectors:
        return cast("Vectors", await self._call("embed", texts))


class RerankerClient(StageClient):
    """The reranker over a handle; see `contracts.Reranker`."""

    stage = "reranker"

    async def rank(
        self,
        query: str,
        passages: Sequence[str],
        top_n: int | None = None,
        vector: QueryVector | None = None,
    ) -> list[Ranked]:
        """See `contracts.Reranker.rank`."""
        return cast("list[Ranked]", await self._call("rank", query, passages, top_n, vector))


class ChatClient(StageClient):
    """The chat conductor over a handle; see `contracts.Chat`."""

    stage = "chat"

    def stream_turn(self, request: TurnRequest) -> AsyncGenerator[TurnEvent, None]:
        """See `contracts.Chat.stream_turn`."""
        return self._stream("stream_turn", request)


class VoiceClient(StageClient):
    """The voice conductor over a handle; see `contracts.VoiceChat`."""

    stage = "voice"

    def stream_turn(self, request: VoiceTurnRequest) -> AsyncGenerator[TurnEvent, None]:
        """See `contracts.VoiceChat.stream_turn`."""
        return self._stream("stream_turn", request)


class ClusterClient:
    """What runs, asked of Serve's controller at most once a second however many pages ask."""

    FRESH_S = 1.0

    def __init__(self) -> None:
        self._asked = -self.FRESH_S
        self._known: list[ApplicationStatus] = []
        self._lock = asyncio.Lock()

    async def applications(self) -> list[ApplicationStatus]:
        """See `contracts.Cluster.applications`."""
        async with self._lock:
            if time.monotonic() - self._asked >= self.FRESH_S:
                self._known = await asyncio.get_running_loop().run_in_executor(None, statuses)
                self._asked = time.monotonic()
            return self._known


def over_handles() -> Clients:
    """Clients of the applications that a config names by their stage's words."""
    return Clients(
        llm=LlmClient(),
        stt=SttClient(),
        tts=TtsClient(),
        embeddings=EmbeddingsClient(),
        reranker=RerankerClient(),
        chat=ChatClient(),
        voice=VoiceClient(),
        knowledge=KnowledgeClient(),
        ingest=IngestClient(),
        conversations=ConversationsClient(),
        cluster=ClusterClient(),
        embeddings_of=cache(EmbeddingsClient),
    )
