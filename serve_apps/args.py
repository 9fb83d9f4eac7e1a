"""Typed `args` of each application in a Serve config: what runs, and its limits.

The builders (`serve_apps.llm:app`, …) take one of these; Serve validates `args:` against it, and
unknown keys are refused. Replicas, resources and autoscaling are Serve's own settings, not ours.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

PageName = Literal["home", "chat", "voice", "stt", "tts", "embeddings"]
PAGES: tuple[PageName, ...] = ("home", "chat", "voice", "stt", "tts", "embeddings")


class Args(BaseModel):
    """Strict: a misspelt key is an error, not a default."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class StageArgs(Args):
    """What every stage with an engine shares."""

    engine: str
    """A name from `serve_apps.engines.ENGINES[stage]`, or `package.module:Class`."""
    model: str = ""
    """A name from assets/models.toml, a local file or folder, or a hub id the engine understands."""
    n_threads: int = Field(default=1, ge=1)
    """Compute threads per worker. More than one can be a hundred times slower on a shared machine."""
    engine_options: dict[str, Any] = Field(default_factory=dict)
    """Passed to the engine's library as keyword arguments, for what has no field here."""


class LlmArgs(StageArgs):
    """The language model."""

    engine: str = "ctranslate2"
    model: str = "smollm2-135m-instruct"
    precision: str = "int8"
    """Weights' precision, in the engine's own word."""
    n_workers: int = Field(default=4, ge=1)
    """Requests decoded at the same time."""
    context_tokens: int = Field(default=0, ge=0)
    """Context to allocate; 0 for the model's own."""
    max_tokens: int = Field(default=512, ge=1)
    """Answer length when the caller names none."""
    max_waiting: int = Field(default=64, ge=0)
    """Requests that may wait for a worker; more are shed with StageBusy."""
    max_wait_s: float = Field(default=60.0, gt=0)
    """Longest wait for a worker before StageBusy."""
    coalesce_ms: float = Field(default=30.0, ge=0)
    """Tokens after the first travel together for this long, a frame of the pages; 0 sends each alone."""


class SttArgs(StageArgs):
    """Speech to text."""

    engine: str = "moonshine"
    model: str = "moonshine-tiny-en"
    precision: str = "int8"
    max_audio_s: float = Field(default=120.0, gt=0)
    """Longest audio of one call; longer recordings come in blocks (`clients.SttClient.stream_blocks`)."""
    max_waiting: int = Field(default=32, ge=0)
    vad_threshold: float = Field(default=0.5, ge=0, le=1)
    """Probability above which a 32 ms frame counts as speech."""
    min_silence_s: float = Field(default=0.5, gt=0)
    """A pause at least this long ends a segment."""
    align_words: bool = True
    """Word times by forced alignment for engines without their own."""


class TtsArgs(StageArgs):
    """Text to speech."""

    engine: str = "espeak"
    voice: str = ""
    """Default voice; empty for the engine's."""
    max_characters: int = Field(default=100_000, ge=1)
    max_waiting: int = Field(default=32, ge=0)


class EmbeddingsArgs(StageArgs):
    """Text embeddings."""

    engine: str = "ctranslate2"
    model: str = "all-minilm-l6-v2"
    precision: str = "int8"
    max_texts: int = Field(default=20_000, ge=1)
    """Texts in one call."""
    batch_texts: int = Field(default=64, ge=1)
    """Texts that go through the model together."""
    batch_wait_ms: float = Field(default=2.0, ge=0)
    """How long the first caller waits for others to share its batch."""
    max_waiting: int = Field(default=256, ge=0)


class RerankerArgs(StageArgs):
    """Passage reranking."""

    engine: str = "sentence_cosine"
    model: str = "all-minilm-l6-v2"
    precision: str = "int8"
    max_passages: int = Field(default=1000, ge=1)
    max_waiting: int = Field(default=64, ge=0)


class KnowledgeArgs(Args):
    """Documents: the vector store and their catalogue."""

    engine: str = "milvus"
    """A name from `serve_apps.engines.ENGINES["knowledge"]`, or `package.module:Class`."""
    max_waiting: int = Field(default=256, ge=0)
    engine_options: dict[str, Any] = Field(default_factory=dict)


class OneCallKnowledgeArgs(KnowledgeArgs):
    """Documents, with an encoder and a reranker of their own: the same models as the stages of that name."""

    embeddings: EmbeddingsArgs = EmbeddingsArgs()
    reranker: RerankerArgs = RerankerArgs()


class RetrievalArgs(Args):
    """How a turn uses documents, where the caller does not say."""

    in_one_call: bool = False
    """The knowledge application is `serve_apps.one_call_knowledge`: it embeds and reranks itself."""
    n_candidates: int = Field(default=6, ge=1, le=200)
    """Passages that the search gives the reranker."""
    n_passages: int = Field(default=3, ge=1, le=50)
    """Passages that the model reads, if they fit."""
    max_context_tokens: int = Field(default=400, ge=50)
    """Of all passages together, in the language model's own tokens: reading them is most of the time to the
    first word on a machine without a GPU."""
    max_history_tokens: int = Field(default=150, ge=0)
    """Of the conversation before, beside passages."""
    min_score: float = 0.28
    """Reranked passages below are not used, unless they hold a name or number of the question; the scale is
    the reranker's. With the embedded one, 0.28 keeps 19 of 20 answers, and leaves 2 of 5 questions that have
    none without passages (docs/evaluation.md)."""
    min_cosine: float = Field(default=0.2, ge=-1, le=1)
    """The same where nothing reranks."""
    rewrite: Literal["join", "model", "off"] = "join"
    """How a follow-up is made to stand alone: with the question before it, by the model (for larger ones),
    or not at all."""
    timeout_s: float = Field(default=5.0, gt=0)
    """A slower search is done without, and said."""


class ConductorArgs(Args):
    """The chat and voice conductors."""

    turn_timeout_s: float = Field(default=300.0, gt=0)
    """A turn that takes longer fails with StageTimeout."""
    retrieval: RetrievalArgs = RetrievalArgs()


class ConversationsArgs(Args):
    """Stored conversations."""

    unwatched_s: float = Field(default=30.0, ge=0)
    """An answer that nobody has watched for so long is stopped."""
    save_every_s: float = Field(default=0.25, gt=0)
    """How often an answer under way is stored; other replicas follow it from there."""


class IngestArgs(Args):
    """Reading and embedding documents: limits of one replica."""

    max_file_mb: int = Field(default=200, ge=1)
    max_pages: int = Field(default=5000, ge=1)
    max_text_mb: int = Field(default=20, ge=1)
    """Text of one document."""
    max_unpacked_mb: int = Field(default=500, ge=1)
    """What an archive, or an archive-like format (DOCX, XLSX, EPUB), may unpack to."""
    max_files: int = Field(default=2000, ge=1)
    """Files in one call, archives opened."""
    parse_timeout_s: float = Field(default=120.0, gt=0)
    parse_memory_mb: int = Field(default=2048, ge=256)
    """Of the process that reads one file."""
    max_audio_s: float = Field(default=4 * 3600.0, gt=0)
    passage_characters: int = Field(default=500, ge=100)
    """About how long a passage is: it must fit the embedding model, several of them the language model."""
    batch_passages: int = Field(default=256, ge=1)
    """Passages that are embedded and stored together."""
    n_at_once: int = Field(default=2, ge=1)
    """Ingests under way in one replica; more wait."""
    max_waiting: int = Field(default=32, ge=0)
    fetch_timeout_s: float = Field(default=30.0, gt=0)
    private_addresses: bool = False
    """Fetch from private networks, too (never from link-local and metadata addresses)."""


class PageArgs(Args):
    """One page as an application of its own."""

    page: PageName


class RealtimeArgs(Args):
    """The door of live sessions, `/v1/realtime`: limits of one replica and of each session."""

    max_sessions: int = Field(default=100, ge=1)
    """Sessions at once, with those that wait for a lost socket; more are closed with 4429."""
    resume_s: float = Field(default=30.0, ge=0)
    """How long a session waits for a lost socket to come back."""
    max_event_bytes: int = Field(default=4 * 2**20, ge=1024)
    """Longest event of a client; a larger one is answered with an error."""
    max_events_per_s: float = Field(default=500.0, gt=0)
    """Events that a client may send a second, beyond a burst of ten seconds' worth."""
    max_audio_speed: float = Field(default=20.0, ge=1)
    """How much faster than real time audio may come, beyond `audio_burst_s`."""
    audio_burst_s: float = Field(default=120.0, gt=0)
    """Audio that may come at once."""
    max_bad_events: int = Field(default=100, ge=1)
    """Events a minute that may be wrong; more close the socket."""
    send_timeout_s: float = Field(default=10.0, gt=0)
    """A client that takes nothing for this long is taken for lost."""


class ApiArgs(Args):
    """The /v1 door as an application of its own."""

    realtime: RealtimeArgs = RealtimeArgs()
    retrieval: RetrievalArgs = RetrievalArgs()


class FrontArgs(Args):
    """Pages, API and conductors in one replica, for one machine."""

    pages: tuple[PageName, ...] = PAGES
    conductor: ConductorArgs = ConductorArgs()
    conversations: ConversationsArgs = ConversationsArgs()
    ingest: IngestArgs = IngestArgs()
    realtime: RealtimeArgs = RealtimeArgs()
