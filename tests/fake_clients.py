"""Small deterministic implementations of every Protocol that pages call: no Ray, no weights.

`fake_clients()` gives a whole `Clients`; replace parts with keyword arguments. Each fake remembers
what it was asked (`requests`), and the streaming ones count `n_finished` and `n_closed` (stopped by
the caller before the end), so that a test can see a cancel arrive at the model.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np

from serve_apps.contracts import Clients
from serve_apps.errors import EmptyInput, RaydioError, UnknownName
from serve_apps.wire import (
    ApplicationStatus,
    Audio,
    AudioSegment,
    ChatRequest,
    FinalTranscript,
    LlmDelta,
    LlmDone,
    LlmEvent,
    LlmTimings,
    LlmUsage,
    ModelCard,
    PartialTranscript,
    QueryVector,
    Ranked,
    Segment,
    Span,
    SpeakRequest,
    StageReport,
    SttOptions,
    TextDelta,
    Transcript,
    TranscriptUpdate,
    TurnDone,
    TurnEvent,
    TurnRequest,
    Vectors,
    Voice,
    VoiceTurnRequest,
    Word,
)

RATE_HZ = 22_050
TRANSCRIPT = "the quick brown fox jumps over the lazy dog"
APPLICATIONS = ("llm", "stt", "tts", "embeddings", "reranker", "knowledge", "front")


def card(stage: str) -> ModelCard:
    """A model card with something in every field."""
    return ModelCard(
        stage=stage,
        engine=f"fake-{stage}",
        model=f"Fake {stage} 1M",
        size_bytes=12_345_678,
        licence="Apache-2.0",
        source="tests/fake_clients.py",
        details={"precision": "int8", "threads": "1"},
    )


class _Described:
    stage = ""
    down: RaydioError | None = None
    """Raised by `describe` and by every call, when set."""

    def __init__(self) -> None:
        self.requests: list[Any] = []

    async def describe(self) -> StageReport:
        self._check_up()
        return StageReport(
            card=card(self.stage),
            node="localhost",
            pid=4242,
            n_requests=len(self.requests),
            n_failures=0,
            n_running=0,
            n_waiting=0,
            last_first_output_ms=41.5,
            last_duration_ms=632.0,
        )

    def _check_up(self) -> None:
        if self.down is not None:
            raise self.down


class FakeLlm(_Described):
    """Says the last message's words back, one a delta."""

    stage = "llm"

    async def stream_chat(self, request: ChatRequest) -> AsyncIterator[LlmEvent]:
        self._check_up()
        self.requests.append(request)
        words = request.messages[-1].content.split()
        for word in words:
            yield LlmDelta(text=f"{word} ", n_tokens=1)
        yield LlmDone(
            finish_reason="stop",
            usage=LlmUsage(prompt_tokens=10, completion_tokens=len(words)),
            timings=LlmTimings(queue_ms=0, first_token_ms=40, total_ms=100, tokens_per_s=50),
        )

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


class FakeStt(_Described):
    """Hears `TRANSCRIPT`, spread evenly over the audio, two words a segment."""

    stage = "stt"

    async def transcribe(self, audio: Audio, options: SttOptions) -> Transcript:
        self._check_up()
        self.requests.append((audio, options))
        if len(audio.samples) == 0:
            raise EmptyInput("The audio has no samples.", "Record or choose another file.")
        return self._transcript(audio, options)

    async def stream_transcribe(self, audio: Audio, options: SttOptions) -> AsyncIterator[TranscriptUpdate]:
        whole = await self.transcribe(audio, options)
        if not whole.segments:
            yield TranscriptUpdate(transcript=whole, done_s=whole.duration_s, final=True)
        for n in range(1, len(whole.segments) + 1):
            heard = Transcript(
                segments=whole.segments[:n], language=whole.language, duration_s=whole.duration_s
            )
            final = n == len(whole.segments)
            done_s = whole.duration_s if final else whole.segments[n - 1].end_s
            yield TranscriptUpdate(transcript=heard, done_s=done_s, final=final)

    @staticmethod
    def _transcript(audio: Audio, options: SttOptions) -> Transcript:
        if not np.any(audio.samples):
            return Transcript(segments=(), language="en", duration_s=audio.duration_s)
        texts = TRANSCRIPT.split()
        step_s = audio.duration_s / len(texts)
        words = [Word(text=text, start_s=i * step_s, end_s=(i + 1) * step_s) for i, text in enumerate(texts)]
        segments = tuple(_segment(words[i : i + 2], options) for i in range(0, len(words), 2))
        return Transcript(segments=segments, language=options.language or "en", duration_s=audio.duration_s)


def _segment(words: list[Word], options: SttOptions) -> Segment:
    return Segment(
        text=" ".join(word.text for word in words),
        start_s=words[0].start_s,
        end_s=words[-1].end_s,
        words=tuple(words) if options.words else (),
    )


class FakeTts(_Described):
    """Hums 50 ms of 220 Hz a word, one chunk a word."""

    stage = "tts"

    async def voices(self) -> list[Voice]:
        self._check_up()
        return [
            Voice(id="en-gb", name="English (Great Britain)", language="en-gb", gender="male"),
            Voice(id="en-us", name="English (America)", language="en-us", gender="female"),
            Voice(id="de", name="German", language="de"),
        ]

    async def stream_speak(self, request: SpeakRequest) -> AsyncIterator[Audio]:
        self._check_up()
        self.requests.append(request)
        if not request.text.strip():
            raise EmptyInput("There is no text to say.", "Type something first.")
        if request.voice not in {"", *(voice.id for voice in await self.voices())}:
            raise UnknownName(f"There is no voice {request.voice!r}.", "Choose one from the list.")
        for _ in request.text.split():
            yield hum(0.05 / request.speed)


def hum(duration_s: float, *, pitch_hz: float = 220.0, rate_hz: int = RATE_HZ) -> Audio:
    """A quiet sine."""
    times_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    return Audio(samples=(0.2 * np.sin(2 * np.pi * pitch_hz * times_s)).astype(np.float32), rate_hz=rate_hz)


class FakeEmbeddings(_Described):
    """Normalised sums of one fixed random direction a word: shared words mean similar texts."""

    stage = "embeddings"
    dimensions = 32

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self._check_up()
        self.requests.append(tuple(texts))
        if not texts:
            raise EmptyInput("There is nothing to embed.", "Paste at least one line.")
        return np.stack([self._vector(text) for text in texts])

    def _vector(self, text: str) -> Vectors:
        total = sum((self._direction(word) for word in text.lower().split()), np.full(self.dimensions, 1e-3))
        return np.asarray(total / np.linalg.norm(total), dtype=np.float32)

    def _direction(self, word: str) -> Vectors:
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
        return np.random.default_rng(seed).standard_normal(self.dimensions).astype(np.float32)


class FakeReranker(_Described):
    """Scores a passage by the share of the query's words in it."""

    stage = "reranker"

    async def rank(
        self,
        query: str,
        passages: Sequence[str],
        top_n: int | None = None,
        vector: QueryVector | None = None,  # noqa: ARG002
    ) -> list[Ranked]:
        self._check_up()
        self.requests.append((query, tuple(passages)))
        wanted = set(query.lower().split())
        ranked = [
            Ranked(index=i, score=len(wanted & set(passage.lower().split())) / max(1, len(wanted)))
            for i, passage in enumerate(passages)
        ]
        return sorted(ranked, key=lambda item: -item.score)[:top_n]


class FakeKnowledge(_Described):
    """Says what it is, and holds nothing; tests of documents use the real stage (`tests.knowledge`)."""

    stage = "knowledge"


def turn_done(n_tokens: int, *, notes: tuple[str, ...] = ()) -> TurnDone:
    """An end of a turn with a waterfall of two bars."""
    return TurnDone(
        finish_reason="stop",
        usage=LlmUsage(prompt_tokens=24, completion_tokens=n_tokens, cached_tokens=8),
        tokens_per_s=52.5,
        first_token_ms=41.0,
        waterfall=(
            Span(name="llm queue", start_ms=0, duration_ms=3),
            Span(name="llm first token", start_ms=3, duration_ms=38),
            Span(name="llm", start_ms=41, duration_ms=19.0 * n_tokens),
        ),
        notes=notes,
    )


class _Turns:
    """Counts how streams of turns end."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.n_finished = 0
        self.n_closed = 0

    async def counted(self, request: object, events: AsyncIterator[TurnEvent]) -> AsyncIterator[TurnEvent]:
        self.requests.append(request)
        try:
            async for event in events:
                yield event
        except (GeneratorExit, asyncio.CancelledError):
            self.n_closed += 1
            raise
        self.n_finished += 1


class FakeChat(_Turns):
    """Streams `reply` (by default: what the user said) word by word.

    Args:
        reply: the answer; None echoes the user.
        pause_s: time between words, also before the first.
        end: the last event; None is a TurnDone. A RaydioError is raised instead.
        endless: say the reply again and again, for tests of Stop.
    """

    def __init__(
        self,
        reply: str | None = None,
        *,
        pause_s: float = 0.0,
        end: TurnEvent | RaydioError | None = None,
        endless: bool = False,
    ) -> None:
        super().__init__()
        self.reply = reply
        self.pause_s = pause_s
        self.end = end
        self.endless = endless

    def stream_turn(self, request: TurnRequest) -> AsyncIterator[TurnEvent]:
        return self.counted(request, self._events(request))

    async def _events(self, request: TurnRequest) -> AsyncIterator[TurnEvent]:
        reply = f"You said: {request.messages[-1].content}" if self.reply is None else self.reply
        words = reply.split(" ")
        n_sent = 0
        while n_sent < len(words) or self.endless:
            await asyncio.sleep(self.pause_s)
            space = " " if n_sent else ""
            yield TextDelta(text=space + words[n_sent % len(words)])
            n_sent += 1
        if isinstance(self.end, RaydioError):
            raise self.end
        yield self.end or turn_done(n_sent)


class FakeVoiceChat(_Turns):
    """Hears `TRANSCRIPT` and answers with two spoken clauses."""

    clauses = ("You said a fox.", "It jumps.")

    def __init__(self, *, pause_s: float = 0.0) -> None:
        super().__init__()
        self.pause_s = pause_s

    def stream_turn(self, request: VoiceTurnRequest) -> AsyncIterator[TurnEvent]:
        return self.counted(request, self._events())

    async def _events(self) -> AsyncIterator[TurnEvent]:
        yield PartialTranscript(text="the quick brown")
        yield FinalTranscript(text=TRANSCRIPT)
        for index, clause in enumerate(self.clauses):
            yield TextDelta(text=f"{clause} ")
            for n in range(2):
                await asyncio.sleep(self.pause_s)
                said = "" if n else clause
                yield AudioSegment(index=index, text=said, spoken=said, audio=hum(0.2))
        yield turn_done(7)


class FakeCluster:
    """All applications healthy, unless `statuses` says otherwise."""

    def __init__(self, **statuses: tuple[str, str]) -> None:
        self.statuses = statuses
        self.n_calls = 0

    async def applications(self) -> list[ApplicationStatus]:
        self.n_calls += 1
        return [self._status(name) for name in APPLICATIONS]

    def _status(self, name: str) -> ApplicationStatus:
        status, message = self.statuses.get(name, ("healthy", ""))
        up = 1 if status == "healthy" else 0
        return ApplicationStatus(
            name=name,
            status=status,  # type: ignore[arg-type]
            message=message,
            n_replicas=up,
            n_replicas_target=1,
        )


def fake_clients(**replaced: Any) -> Clients:
    """Every client, faked; for example `fake_clients(chat=FakeChat("Hello."))`."""
    parts: dict[str, Any] = {
        "llm": FakeLlm(),
        "stt": FakeStt(),
        "tts": FakeTts(),
        "embeddings": FakeEmbeddings(),
        "reranker": FakeReranker(),
        "chat": FakeChat(),
        "voice": FakeVoiceChat(),
        "knowledge": FakeKnowledge(),
        "ingest": None,
        "conversations": None,
        "cluster": FakeCluster(),
        "embeddings_of": lambda _name: FakeEmbeddings(),
    }
    return Clients(**{**parts, **replaced})
