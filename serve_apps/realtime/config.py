"""The session object of the Realtime protocol: what `session.update` may set, with our defaults.

Field names and defaults are the protocol's (https://platform.openai.com/docs/api-reference/realtime);
`raydio` holds what is ours. Everything is optional in an update; `merged` lays one over the session.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from serve_apps.wire_knowledge import KnowledgeMode

PCM_RATE_HZ: Final = 24_000
G711_RATE_HZ = 8_000
MAX_SPOKEN_TOKENS = 200
"""Length of a spoken answer when the client names none: about a minute of speech."""


class Part(BaseModel):
    """Strict about what it knows: a misspelt field is an error, not a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Pcm(Part):
    """16-bit little-endian samples, mono."""

    type: Literal["audio/pcm"] = "audio/pcm"
    rate: Literal[24_000] = PCM_RATE_HZ

    @property
    def rate_hz(self) -> int:
        """Samples a second."""
        return self.rate


class G711(Part):
    """One byte a sample, mono, 8 kHz: µ-law or A-law."""

    type: Literal["audio/pcmu", "audio/pcma"]

    @property
    def rate_hz(self) -> int:
        """Samples a second."""
        return G711_RATE_HZ


AudioFormat = Annotated[Pcm | G711, Field(discriminator="type")]


class ServerVad(Part):
    """The turn ends after a fixed silence."""

    type: Literal["server_vad"] = "server_vad"
    threshold: float = Field(default=0.5, ge=0.0, le=1.0)
    prefix_padding_ms: int = Field(default=300, ge=0, le=5_000)
    silence_duration_ms: int = Field(default=500, ge=50, le=10_000)
    create_response: bool = True
    interrupt_response: bool = True


class SemanticVad(Part):
    """The turn ends after a silence that depends on what was said."""

    type: Literal["semantic_vad"] = "semantic_vad"
    eagerness: Literal["auto", "low", "medium", "high"] = "auto"
    create_response: bool = True
    interrupt_response: bool = True


TurnDetection = Annotated[ServerVad | SemanticVad, Field(discriminator="type")]


class Transcription(Part):
    """How the user's speech is written down; always by the stt stage."""

    model: str | None = None
    language: str | None = None
    prompt: str | None = None


class NoiseReduction(Part):
    """Accepted for compatibility: browsers do it before we hear anything."""

    type: Literal["near_field", "far_field"]


class InputAudio(Part):
    """The microphone's side."""

    format: AudioFormat = Pcm()
    turn_detection: TurnDetection | None = ServerVad()
    transcription: Transcription | None = Transcription()
    noise_reduction: NoiseReduction | None = None


class OutputAudio(Part):
    """The speaker's side."""

    format: AudioFormat = Pcm()
    voice: str = ""
    """A voice of the tts stage; empty for its default. OpenAI's own names mean the default, too."""
    speed: float = Field(default=1.0, ge=0.25, le=1.5)


class SessionAudio(Part):
    """Both sides."""

    input: InputAudio = InputAudio()
    output: OutputAudio = OutputAudio()


class BargeIn(Part):
    """When the user's voice stops an answer that is being played."""

    mode: Literal["words", "speech", "off"] = "words"
    """`words`: speech that says something ("mhmm" does not); `speech`: any speech long enough."""
    min_speech_ms: int = Field(default=200, ge=0, le=5_000)
    """Speech before the suspicion is looked into; a cough or a click is shorter."""
    echo_guard: bool = True
    """Ignore the answer's own sound when the microphone hears it."""


class Knowledge(Part):
    """Whether answers rest on the user's documents."""

    mode: KnowledgeMode = "no_documents"
    collections: tuple[str, ...] = Field(default=(), max_length=50)
    """Collection ids; empty: every one that the user may read."""


class Raydio(Part):
    """Our own settings."""

    knowledge: Knowledge = Knowledge()
    barge_in: BargeIn = BargeIn()
    partial_transcripts: bool = True
    temperature: float = Field(default=0.5, ge=0.0, le=2.0)
    """Lower than in writing: small models lose the thread, and a listener cannot skip what is nonsense."""


class Session(Part):
    """A session's settings as they stand."""

    type: Literal["realtime"] = "realtime"
    instructions: str = Field(default="", max_length=50_000)
    """Empty for `assets/prompts/voice.md`."""
    output_modalities: tuple[Literal["audio", "text"], ...] = ("audio",)
    max_output_tokens: Annotated[int, Field(ge=1, le=4096)] | Literal["inf"] = "inf"
    """`inf` for audio: MAX_SPOKEN_TOKENS."""
    audio: SessionAudio = SessionAudio()
    raydio: Raydio = Raydio()

    def merged(self, update: dict[str, Any]) -> Session:
        """This session with `update` laid over it.

        Raises:
            pydantic.ValidationError: a field that does not exist, or a value that it cannot have.
        """
        return Session.model_validate(_laid_over(self.model_dump(), update))


def _laid_over(base: dict[str, Any], update: dict[str, Any]) -> dict[str, Any]:
    """Nested objects are merged; one that changes its `type` is replaced."""
    merged = dict(base)
    for key, value in update.items():
        old = merged.get(key)
        mergeable = isinstance(old, dict) and isinstance(value, dict)
        if mergeable and value.get("type", old.get("type")) == old.get("type"):  # type: ignore[union-attr]
            merged[key] = _laid_over(old, value)  # type: ignore[arg-type]
        else:
            merged[key] = value
    return merged
