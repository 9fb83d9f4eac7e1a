"""Every error Raydio raises on purpose: one tree, picklable, each with what happened and what to do.

RaydioError
├── InputError                 the caller can fix it                        400
│   ├── EmptyInput             nothing to work on
│   ├── TextTooLong            over a stage's character or item limit       413
│   ├── ContextOverflow        prompt and answer do not fit the model
│   ├── BodyTooLarge           a request body over the door's limit         413
│   ├── AudioUnreadable        not audio, truncated, or no audio track      415
│   ├── AudioTooLong           over the duration limit                      413
│   ├── NoSpeech               audio without a voice in it                  422
│   ├── UnknownName            a voice, language, model or format           404
│   ├── NotFound               no such document, collection or conversation 404
│   ├── DocumentUnreadable     not a document, encrypted or broken          415
│   ├── DocumentTooLarge       over a limit: bytes, pages, unpacked size    413
│   ├── AddressRefused         a URL that this machine does not fetch       403
│   ├── EmbeddingMismatch      a collection of another embedding model      409
│   ├── UnsupportedOption      the engine in use cannot do it
│   └── ProtocolError          a live session was sent what is no event
│       ├── EventTooLarge      over the session's limit                     413
│       └── TooFast            more of them than a session takes            429
├── AccessError                no or wrong credential                       401
│   ├── Forbidden              known caller, refused request                403
│   └── TooManyAttempts        wrong credentials came too fast              429
├── StageError                 a stage could not answer
│   ├── StageBusy              its queue is full: come back                 429
│   ├── StageUnavailable       no replica: starting, restarting or absent   503
│   ├── StageTimeout           no answer within the deadline                504
│   └── StageFailed            the engine failed                            500
└── SetupError                 this machine or the configuration
    ├── ConfigError            the Serve config is wrong
    ├── PortInUse              something else listens there
    ├── AlreadyRunning         another Raydio owns this home
    ├── NotRunning             nothing to talk to
    └── WeightsError           fetching or checking model weights failed
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AccessError",
    "AddressRefused",
    "AlreadyRunning",
    "AudioTooLong",
    "AudioUnreadable",
    "BodyTooLarge",
    "ConfigError",
    "ContextOverflow",
    "DocumentTooLarge",
    "DocumentUnreadable",
    "EmbeddingMismatch",
    "EmptyInput",
    "EventTooLarge",
    "Forbidden",
    "InputError",
    "NoSpeech",
    "NotFound",
    "NotRunning",
    "PortInUse",
    "ProtocolError",
    "RaydioError",
    "SetupError",
    "StageBusy",
    "StageError",
    "StageFailed",
    "StageTimeout",
    "StageUnavailable",
    "TextTooLong",
    "TooFast",
    "TooManyAttempts",
    "UnknownName",
    "UnsupportedOption",
    "WeightsError",
]


class RaydioError(Exception):
    """What happened (`message`) and what to do about it (`hint`).

    Subclasses pass every constructor argument to `super().__init__` in order, so that an
    error survives pickling between replicas.
    """

    status: ClassVar[int] = 500
    """HTTP status at the doors."""
    code: ClassVar[str] = "internal_error"
    """Stable machine-readable name, the `code` of an OpenAI-style error body."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InputError(RaydioError):
    """The caller sent something that cannot be worked on."""

    status = 400
    code = "invalid_input"


class EmptyInput(InputError):
    """There is nothing to work on: no text, no samples, no messages."""

    code = "empty_input"


class TextTooLong(InputError):
    """The text, or the number of texts, is over the stage's limit."""

    status = 413
    code = "text_too_long"


class ContextOverflow(InputError):
    """Prompt and answer together do not fit in the model's context."""

    code = "context_length_exceeded"


class BodyTooLarge(InputError):
    """The request's body is over the door's limit."""

    status = 413
    code = "request_too_large"


class AudioUnreadable(InputError):
    """The bytes are not audio this machine can decode, or hold no audio track."""

    status = 415
    code = "audio_unreadable"


class AudioTooLong(InputError):
    """The audio is longer than the limit."""

    status = 413
    code = "audio_too_long"


class NoSpeech(InputError):
    """The audio is readable, but nobody speaks in it."""

    status = 422
    code = "no_speech"


class UnknownName(InputError):
    """A voice, language, model or format that does not exist here."""

    status = 404
    code = "unknown_name"


class NotFound(InputError):
    """There is no such document, collection, conversation or message, or it is another user's."""

    status = 404
    code = "not_found"


class DocumentUnreadable(InputError):
    """The file is not a document that can be read: unknown kind, encrypted, broken, without text."""

    status = 415
    code = "document_unreadable"


class DocumentTooLarge(InputError):
    """The file is over a limit: bytes, pages, what it unpacks to, or the time that reading it takes."""

    status = 413
    code = "document_too_large"


class AddressRefused(InputError):
    """The URL leads to a place that this machine does not fetch from, or to nothing."""

    status = 403
    code = "address_refused"


class EmbeddingMismatch(InputError):
    """The collection's vectors were made by another embedding model: index it again."""

    status = 409
    code = "embedding_mismatch"


class UnsupportedOption(InputError):
    """The option exists, but not with the engine in use."""

    code = "unsupported_option"


class ProtocolError(InputError):
    """What a client of a live session sent is not an event, or not one that it can have meant.

    Args:
        message: what is wrong.
        hint: what is right.
        param: the field that is wrong, `session.audio.input.format.rate`.
        event_id: the client's own name for the event, if that could be read.
    """

    code = "invalid_event"

    def __init__(
        self, message: str, hint: str = "", param: str | None = None, event_id: str | None = None
    ) -> None:
        super().__init__(message, hint)
        self.param = param
        self.event_id = event_id
        self.args = (message, hint, param, event_id)


class EventTooLarge(ProtocolError):
    """An event is over the live session's limit."""

    status = 413
    code = "event_too_large"


class TooFast(ProtocolError):
    """Events, or audio, come faster than a live session takes them."""

    status = 429
    code = "rate_limit_exceeded"


class AccessError(RaydioError):
    """The credential is missing or wrong."""

    status = 401
    code = "invalid_api_key"


class Forbidden(AccessError):
    """The caller is known, the request is refused."""

    status = 403
    code = "forbidden"


class TooManyAttempts(AccessError):
    """Wrong credentials came too fast."""

    status = 429
    code = "too_many_attempts"


class StageError(RaydioError):
    """A stage (`llm`, `stt`, …) could not answer.

    Args:
        stage: the stage's one word.
        message: what happened.
        hint: what to do.
        retry_after_s: when it is worth trying again, for the Retry-After header.
    """

    code = "stage_error"

    def __init__(self, stage: str, message: str, hint: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, hint)
        self.stage = stage
        self.retry_after_s = retry_after_s
        self.args = (stage, message, hint, retry_after_s)


class StageBusy(StageError):
    """The stage's queue is full."""

    status = 429
    code = "stage_busy"


class StageUnavailable(StageError):
    """The stage has no replica that can answer now."""

    status = 503
    code = "stage_unavailable"


class StageTimeout(StageError):
    """The stage did not answer within the deadline."""

    status = 504
    code = "stage_timeout"


class StageFailed(StageError):
    """The engine failed on this request."""

    status = 500
    code = "stage_failed"


class SetupError(RaydioError):
    """This machine or the configuration stands in the way."""

    code = "setup_error"


class ConfigError(SetupError):
    """The Serve config is wrong."""

    code = "config_error"


class PortInUse(SetupError):
    """Something else listens on a port that Raydio needs."""

    code = "port_in_use"


class AlreadyRunning(SetupError):
    """Another Raydio owns this home folder."""

    code = "already_running"


class NotRunning(SetupError):
    """There is no running Raydio to talk to."""

    code = "not_running"


class WeightsError(SetupError):
    """Fetching or checking model weights failed; nothing half-written is left."""

    code = "weights_error"


def status_of(code: str) -> int:
    """The HTTP status that belongs to an error's `code`, where only that has travelled."""
    return next((kind.status for kind in _kinds(RaydioError) if kind.code == code), RaydioError.status)


def _kinds(kind: type[RaydioError]) -> list[type[RaydioError]]:
    return [kind, *(found for below in kind.__subclasses__() for found in _kinds(below))]
