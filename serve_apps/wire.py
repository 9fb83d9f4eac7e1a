"""Values that travel between doors, conductors and stages, in route order.

Plain frozen dataclasses: they pickle fast and need no library but numpy. Audio is mono float32 in
[-1, 1] with its rate. Times are seconds (`_s`) or milliseconds (`_ms`) as the name says.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from serve_apps.wire_knowledge import Retrieval

Stage = Literal["llm", "stt", "tts", "embeddings", "reranker", "knowledge", "chat", "voice"]
Samples = NDArray[np.float32]
"""Mono samples, float32 in [-1, 1], shape (n_samples,)."""
Vectors = NDArray[np.float32]
"""L2-normalised embeddings, float32, shape (n, d)."""

STT_RATE_HZ = 16_000
"""The rate every speech-to-text engine and the voice detector work at."""


# ---- any stage -> home page, status ----------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What a stage runs, said to people."""

    stage: str
    engine: str
    """The engine's config name, for example `ctranslate2`."""
    model: str
    """The model's public name, for example `SmolLM2-135M-Instruct`."""
    size_bytes: int
    """Size of the weights on disk as loaded; 0 if the engine has none."""
    licence: str
    source: str
    """Where the weights come from, in words or as an address."""
    details: dict[str, str] = field(default_factory=dict)
    """More facts worth showing: precision, threads, context, sample rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageReport:
    """A stage's card and what one of its replicas has done since it started."""

    card: ModelCard
    node: str
    """Host name of the replica's machine."""
    pid: int
    n_requests: int
    n_failures: int
    n_running: int
    n_waiting: int
    last_first_output_ms: float | None
    """Time from arrival to the first output of the last request; None before the first."""
    last_duration_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationStatus:
    """One Serve application as the cluster sees it."""

    name: str
    status: Literal["fetching", "starting", "healthy", "unhealthy", "failed", "absent"]
    message: str
    """Why, when it is not healthy; one line."""
    n_replicas: int
    n_replicas_target: int


# ---- embeddings, reranker --------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryVector:
    """A query as an embedding model has made it already, for whoever has the same model."""

    model: str
    """As its card says."""
    values: Vectors
    """Shape (d,), L2-normalised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """One passage after ranking, best first in a list."""

    index: int
    """Position in the list that was given."""
    score: float
    """Higher is more relevant; the scale is the engine's (cosine: [-1, 1])."""


# ---- audio -> stt ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word with its times, in seconds from the first sample of the audio it belongs to."""

    text: str
    start_s: float
    end_s: float

    def later(self, by_s: float) -> Word:
        """The same word in a sound with `by_s` seconds before this one."""
        return Word(text=self.text, start_s=self.start_s + by_s, end_s=self.end_s + by_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """Mono sound. `samples`: float32 in [-1, 1], shape (n_samples,); `rate_hz`: samples a second."""

    samples: Samples
    rate_hz: int
    words: tuple[Word, ...] = ()
    """Of speech whose engine knows them: those that begin in these samples, as they stand in the text.
    `end_s` may lie after them, and is a guess where the engine has not got there yet: the next word's
    start is better."""

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate_hz


@dataclass(frozen=True, slots=True, kw_only=True)
class SttOptions:
    """How to transcribe."""

    language: str | None = None
    """ISO 639-1 code, or None to let the engine detect or use its only one."""
    words: bool = False
    """Ask for word times (costs an alignment on engines without their own)."""
    prompt: str = ""
    """Names and spellings to prefer, for engines that take a prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One stretch of speech, in seconds from the first sample of the audio given."""

    text: str
    start_s: float
    end_s: float
    words: tuple[Word, ...] = ()
    language: str = ""
    """ISO 639-1 code, where the engine detected it."""

    def later(self, by_s: float) -> Segment:
        """The same, its words too, in a sound with `by_s` seconds before this one."""
        words = tuple(word.later(by_s) for word in self.words)
        return replace(self, start_s=self.start_s + by_s, end_s=self.end_s + by_s, words=words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """What was said; `segments` is empty when nobody spoke."""

    segments: tuple[Segment, ...]
    language: str
    duration_s: float
    """Length of the audio covered so far."""

    @property
    def text(self) -> str:
        """All segments as one line of text."""
        return " ".join(s.text.strip() for s in self.segments if s.text.strip())


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptUpdate:
    """Progress of a streamed transcription."""

    transcript: Transcript
    """Everything so far."""
    done_s: float
    """How much of the audio has been heard."""
    final: bool


# ---- llm -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One chat message."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A chat completion, OpenAI semantics."""

    messages: tuple[Message, ...]
    max_tokens: int | None = None
    """None: the stage's default limit."""
    temperature: float = 0.7
    """0 is greedy."""
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    """The answer ends before the first of these; they are never part of the text."""
    seed: int | None = None
    json_schema: dict[str, Any] | None = None
    """Constrain the answer, for engines that can."""
    caller: str = ""
    """Whose turn it is in a fair queue (session or user)."""
    system_is_shared: bool = False
    """The system message is one of the installation's own few: an engine may keep what it read of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmDelta:
    """A piece of the answer; the first leaves at once, later ones are coalesced."""

    text: str
    n_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmUsage:
    """Token counts, as billed."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmTimings:
    """Where the time went, in milliseconds."""

    queue_ms: float
    first_token_ms: float
    """From arrival at the stage to the first token, queue included."""
    total_ms: float
    tokens_per_s: float
    """Decoding speed after the first token; 0 when there was only one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmDone:
    """The end of an answer; always the last item of a stream that did not fail."""

    finish_reason: Literal["stop", "length"]
    usage: LlmUsage
    timings: LlmTimings


LlmEvent = LlmDelta | LlmDone


# ---- tts -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """A voice the engine can speak with."""

    id: str
    name: str
    language: str
    """BCP 47, for example `en-gb`."""
    gender: Literal["female", "male", "unknown"] = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakRequest:
    """Text to say."""

    text: str
    voice: str = ""
    """A `Voice.id`; empty for the engine's default."""
    language: str = ""
    """BCP 47; empty for the voice's own."""
    speed: float = 1.0
    """1 is normal, 0.5 to 3."""
    pitch: float = 1.0
    """1 is normal, 0.5 to 2, for engines that can."""
    reference: Audio | None = None
    """A clip whose voice to imitate, for engines that can clone."""


# ---- chat, voice: the events of a turn -------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRequest:
    """One turn of a conversation: the messages so far, ending with the user's."""

    messages: tuple[Message, ...]
    system_prompt: str = ""
    max_tokens: int | None = None
    temperature: float = 0.7
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    caller: str = ""
    user: str = ""
    """Whose documents may be read."""
    retrieval: Retrieval | None = None
    """How documents are used; None: not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceTurnRequest:
    """One spoken turn: what was recorded, and the conversation before it (`turn.messages`)."""

    audio: Audio | None
    """None when the user typed: the last of `turn.messages` is what they said."""
    turn: TurnRequest
    voice: str = ""
    language: str = ""
    speed: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One bar of a waterfall, in milliseconds from the start of the turn."""

    name: str
    start_ms: float
    duration_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A passage that an answer rests on; the first of `SourcesFound` is [1] in its text."""

    id: str
    title: str
    """For people: document name and page."""
    text: str
    score: float
    """The reranker's, or the search's where nothing reranked."""
    url: str = ""
    """Where its page is shown with the passage marked, relative to the site's root, without a slash first."""
    document_id: str = ""
    collection_id: str = ""
    passage: int = 0
    """Its index in the document."""
    page: int = 0
    start: int = 0
    end: int = 0
    """Characters of the page's text."""
    headings: tuple[str, ...] = ()
    start_s: float | None = None
    end_s: float | None = None
    """In a recording."""
    sha256: str = ""
    """Of the document's bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcesFound:
    """What retrieval found for this turn, best first; before the first TextDelta."""

    sources: tuple[Source, ...]
    query: str = ""
    """What was searched for, when it is not the user's own words: a follow-up made to stand alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    """A piece of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialTranscript:
    """What the user seems to be saying; may still change."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalTranscript:
    """What the user said."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioSegment:
    """A piece of the spoken answer, in playing order."""

    index: int
    """Counts the clauses of the answer from 0; several chunks share one."""
    text: str
    """The clause as it is shown, on its first chunk; empty on the others."""
    spoken: str = ""
    """The clause as it is said, on its first chunk; empty on the others."""
    audio: Audio


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnDone:
    """The end of a turn that worked; always the last event."""

    finish_reason: Literal["stop", "length"]
    usage: LlmUsage
    tokens_per_s: float
    first_token_ms: float
    """From the start of the turn."""
    waterfall: tuple[Span, ...]
    notes: tuple[str, ...] = ()
    """What was degraded, in words for the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnFailed:
    """The end of a turn that did not; what had come before it stays valid."""

    stage: str
    code: str
    message: str
    retry_after_s: float | None = None


TurnEvent = (
    PartialTranscript | FinalTranscript | SourcesFound | TextDelta | AudioSegment | TurnDone | TurnFailed
)
