"""`session` and `response` objects as clients send them, laid over a session's settings.

What cannot be done is refused by name. What changes nothing here (a model's name, an empty list of tools) is
let pass: clients written for OpenAI send it.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError

from serve_apps.errors import ProtocolError
from serve_apps.realtime.config import G711_RATE_HZ, PCM_RATE_HZ, Session
from serve_apps.realtime.wrong_fields import wrong_field

OPENAI_VOICES = frozenset(
    {"alloy", "ash", "ballad", "cedar", "coral", "echo", "marin", "sage", "shimmer", "verse"}
)
"""Voices that only OpenAI has: here they mean the default."""
_Sent = dict[str, Any]
_IGNORED = {"id", "object", "model", "expires_at", "parallel_tool_calls", "tool_choice"}
_UNSUPPORTED: dict[str, tuple[tuple[Any, ...], str]] = {
    "tools": (([],), "Raydio's models call no tools."),
    "include": (([],), "The transcription has no log probabilities."),
    "truncation": (("auto",), "The conductor shortens what does not fit."),
    "tracing": ((), "raydio.turn tells each turn's timings."),
    "prompt": ((), "Send the text itself as instructions."),
    "reasoning": ((), "Raydio's models do not reason."),
}
"""What cannot be set, the values that come to the same as leaving it out, and what to know instead."""
_BETA = {
    "modalities": "output_modalities",
    "voice": "audio.output.voice",
    "speed": "audio.output.speed",
    "input_audio_format": "audio.input.format",
    "output_audio_format": "audio.output.format",
    "input_audio_transcription": "audio.input.transcription",
    "input_audio_noise_reduction": "audio.input.noise_reduction",
    "turn_detection": "audio.input.turn_detection",
    "max_response_output_tokens": "max_output_tokens",
    "temperature": "raydio.temperature",
}
"""Names of the protocol's beta, and where they are now."""
_LANGUAGE = re.compile(r"([A-Za-z]{2,3})([-_][A-Za-z0-9]{1,8})*")


def updated(session: Session, sent: _Sent) -> Session:
    """The settings with those of `session.update` laid over them.

    Raises:
        ProtocolError: a field that does not exist, cannot be set here, or has a wrong value.
    """
    sent = dict(sent)
    if (kind := sent.pop("type", "realtime")) != "realtime":
        raise ProtocolError(
            f"Sessions of type {kind!r} are not supported here.", "Send 'realtime'.", "session.type"
        )
    return _laid_over(session, _known(sent, "session"), "session")


def for_response(session: Session, sent: _Sent) -> Session:
    """The settings with those of `response.create` laid over them.

    Raises:
        ProtocolError: as for `updated`; the microphone's side cannot be changed for one response.
    """
    known = _known(sent, "response")
    audio = known.get("audio")
    if isinstance(audio, dict) and "input" in audio:
        raise ProtocolError(
            "A response cannot change how audio comes in.", "Send session.update.", "response.audio.input"
        )
    return _laid_over(session, known, "response")


def _laid_over(session: Session, known: _Sent, path: str) -> Session:
    try:
        return session.merged(known)
    except ValidationError as error:
        raise wrong_field(error, path) from None


def _known(sent: _Sent, path: str) -> _Sent:
    """What is left to be set; a field without a value is a field that was left out."""
    known: _Sent = {}
    for name, value in sent.items():
        harmless, hint = _UNSUPPORTED.get(name, ((), ""))
        if value is None or name in _IGNORED or value in harmless:
            continue
        if hint:
            raise ProtocolError(f"{path}.{name} cannot be set here.", hint, f"{path}.{name}")
        if name in _BETA:
            raise ProtocolError(
                f"{path}.{name} is a name of the protocol's beta.",
                f"It is {path}.{_BETA[name]} now.",
                f"{path}.{name}",
            )
        known[name] = value
    if "output_modalities" in known:
        known["output_modalities"] = _modalities(known["output_modalities"], f"{path}.output_modalities")
    if isinstance(known.get("audio"), dict):
        known["audio"] = _audio(known["audio"], f"{path}.audio")
    return known


def _modalities(sent: Any, path: str) -> Any:
    """Sound always comes with its transcript, so that asking for both is asking for sound."""
    if sent == []:
        raise ProtocolError(f"{path} is empty.", "Send ['audio'] or ['text'].", path)
    both = isinstance(sent, list) and set(map(str, sent)) == {"audio", "text"}
    return ["audio"] if both else sent


def _audio(sent: _Sent, path: str) -> _Sent:
    sides = {"input": _input, "output": _output}
    return {
        side: sides[side](value, f"{path}.{side}") if side in sides and isinstance(value, dict) else value
        for side, value in sent.items()
        if value is not None
    }


def _input(sent: _Sent, path: str) -> _Sent:
    known = {name: value for name, value in sent.items() if name != "format" or value is not None}
    if "format" in known:
        known["format"] = _format(known["format"], f"{path}.format")
    for name, read in (
        ("turn_detection", _turn_detection),
        ("transcription", _transcription),
        ("noise_reduction", _noise_reduction),
    ):
        if isinstance(known.get(name), dict):
            known[name] = read(_without_nulls(known[name]), f"{path}.{name}")
    return known


def _output(sent: _Sent, path: str) -> _Sent:
    known = _without_nulls(sent)
    if "format" in known:
        known["format"] = _format(known["format"], f"{path}.format")
    voice = known.get("voice")
    if isinstance(voice, dict):
        voice = known["voice"] = voice.get("id")
    if isinstance(voice, str) and voice in OPENAI_VOICES:
        known["voice"] = ""
    return known


def _format(sent: Any, path: str) -> Any:
    if not isinstance(sent, dict):
        raise ProtocolError(
            f"{path} must be an object.", f'Send {{"type": "audio/pcm", "rate": {PCM_RATE_HZ}}}.', path
        )
    known = _without_nulls(sent)
    is_g711 = known.get("type") in ("audio/pcmu", "audio/pcma")
    rate_hz = G711_RATE_HZ if is_g711 else PCM_RATE_HZ
    if known.get("rate", rate_hz) != rate_hz:
        raise ProtocolError(
            f"{path}.rate must be {rate_hz}, not {known['rate']!r}.",
            f"Resample to {rate_hz} Hz before you send."
            if is_g711
            else "PCM is 16-bit mono at 24 kHz here; audio/pcmu and audio/pcma are 8 kHz.",
            f"{path}.rate",
        )
    if is_g711:
        known.pop("rate", None)
    return known


def _turn_detection(sent: _Sent, path: str) -> _Sent:
    if "idle_timeout_ms" in sent:
        raise ProtocolError(
            "Idle timeouts are not supported here.", "Leave it out.", f"{path}.idle_timeout_ms"
        )
    return sent


def _transcription(sent: _Sent, path: str) -> _Sent:
    language = sent.get("language")
    if not isinstance(language, str) or not language:
        return {**sent, "language": language or None} if "language" in sent else sent
    if not (found := _LANGUAGE.fullmatch(language)):
        raise ProtocolError(
            f"{language!r} is no language.", "Send its ISO code, 'en' or 'de-CH'.", f"{path}.language"
        )
    return {**sent, "language": found[1].lower()}


def _noise_reduction(sent: _Sent, _path: str) -> _Sent:
    return {name: value for name, value in sent.items() if name != "strength"}


def _without_nulls(sent: _Sent) -> _Sent:
    return {name: value for name, value in sent.items() if value is not None}
