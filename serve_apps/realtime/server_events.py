"""What the session tells a client: one builder an event. The outbox adds `event_id`."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from serve_apps.errors import InputError, RaydioError
from serve_apps.realtime.captions import CaptionWord
from serve_apps.realtime.config import AudioFormat, Session
from serve_apps.realtime.conversation import Item
from serve_apps.realtime.formats import to_bytes
from serve_apps.wire import LlmUsage, Source, Span

Event = dict[str, Any]


# ---- session, errors -----------------------------------------------------------------------------


def session(type_: str, session_id: str, settings: Session, instructions: str) -> Event:
    """`session.created` and `session.updated`."""
    shown = settings.model_dump()
    shown["instructions"] = settings.instructions or instructions
    return {
        "type": type_,
        "session": {"id": session_id, "object": "realtime.session", "model": "raydio", **shown},
    }


def error(failure: RaydioError, client_event_id: str | None = None) -> Event:
    """`error`: something that the client did, or that failed outside a response."""
    kind = "invalid_request_error" if isinstance(failure, InputError) else "server_error"
    return {
        "type": "error",
        "error": {
            "type": kind,
            "code": failure.code,
            "message": str(failure),
            "param": getattr(failure, "param", None),
            "event_id": client_event_id,
        },
    }


def rate_limits(limit: int, remaining: int, reset_s: float) -> Event:
    """`rate_limits.updated`: responses that this session may still ask for."""
    told = {"name": "requests", "limit": limit, "remaining": remaining, "reset_seconds": round(reset_s, 3)}
    return {"type": "rate_limits.updated", "rate_limits": [told]}


# ---- items ---------------------------------------------------------------------------------------


def item_object(item: Item, sound: AudioFormat | None = None) -> Event:
    """An item as the protocol shows it; with its kept sound when a format is given."""
    return {
        "id": item.id,
        "object": "realtime.item",
        "type": "message",
        "status": item.status,
        "role": item.role,
        "content": [] if item.status == "in_progress" else [_content(item, sound)],
    }


def _content(item: Item, sound: AudioFormat | None) -> Event:
    if item.kind == "text":
        return {"type": "output_text" if item.role == "assistant" else "input_text", "text": item.text or ""}
    if item.role == "assistant":
        return {"type": "output_audio", "transcript": item.told()}
    content: Event = {"type": "input_audio", "transcript": item.text}
    if sound is not None and item.audio is not None:
        content["audio"] = base64.b64encode(to_bytes(item.audio, sound)).decode()
    return content


def item_added(item: Item, previous_item_id: str | None) -> Event:
    """`conversation.item.added`."""
    return {
        "type": "conversation.item.added",
        "previous_item_id": previous_item_id,
        "item": item_object(item),
    }


def item_done(item: Item, previous_item_id: str | None) -> Event:
    """`conversation.item.done`."""
    return {
        "type": "conversation.item.done",
        "previous_item_id": previous_item_id,
        "item": item_object(item),
    }


def item_retrieved(item: Item, sound: AudioFormat) -> Event:
    """`conversation.item.retrieved`."""
    return {"type": "conversation.item.retrieved", "item": item_object(item, sound)}


def item_deleted(item_id: str) -> Event:
    """`conversation.item.deleted`."""
    return {"type": "conversation.item.deleted", "item_id": item_id}


def item_truncated(item_id: str, audio_end_ms: int) -> Event:
    """`conversation.item.truncated`."""
    return {
        "type": "conversation.item.truncated",
        "item_id": item_id,
        "content_index": 0,
        "audio_end_ms": audio_end_ms,
    }


# ---- hearing -------------------------------------------------------------------------------------


def speech_started(item_id: str, start_ms: int) -> Event:
    """`input_audio_buffer.speech_started`."""
    return {"type": "input_audio_buffer.speech_started", "item_id": item_id, "audio_start_ms": start_ms}


def speech_stopped(item_id: str, end_ms: int) -> Event:
    """`input_audio_buffer.speech_stopped`."""
    return {"type": "input_audio_buffer.speech_stopped", "item_id": item_id, "audio_end_ms": end_ms}


def committed(item_id: str, previous_item_id: str | None) -> Event:
    """`input_audio_buffer.committed`."""
    return {
        "type": "input_audio_buffer.committed",
        "item_id": item_id,
        "previous_item_id": previous_item_id,
    }


def transcribed(item_id: str, text: str, duration_s: float) -> list[Event]:
    """`conversation.item.input_audio_transcription.delta` and `.completed`."""
    name = "conversation.item.input_audio_transcription"
    about = {"item_id": item_id, "content_index": 0}
    usage = {"type": "duration", "seconds": round(duration_s, 3)}
    done = {"type": f"{name}.completed", **about, "transcript": text, "usage": usage}
    return [{"type": f"{name}.delta", **about, "delta": text}, done] if text else [done]


def not_transcribed(item_id: str, failure: RaydioError) -> Event:
    """`conversation.item.input_audio_transcription.failed`."""
    return {
        "type": "conversation.item.input_audio_transcription.failed",
        "item_id": item_id,
        "content_index": 0,
        "error": {
            "type": "transcription_error",
            "code": failure.code,
            "message": str(failure),
            "param": None,
        },
    }


def partial(item_id: str, text: str) -> Event:
    """`raydio.transcript.partial`: what the user seems to be saying; may still change."""
    return {"type": "raydio.transcript.partial", "item_id": item_id, "text": text}


def suspected(item_id: str | None) -> Event:
    """`raydio.barge_in.suspected`: somebody may be interrupting the answer: play it softly."""
    return {"type": "raydio.barge_in.suspected", "item_id": item_id}


def confirmed(item_id: str | None, heard_s: float) -> Event:
    """`raydio.barge_in.confirmed`: the user interrupts; says how much of the microphone was heard by then."""
    audio_ms = round(1000 * heard_s)
    return {"type": "raydio.barge_in.confirmed", "item_id": item_id, "audio_ms": audio_ms}


def dismissed(item_id: str | None, reason: str) -> Event:
    """`raydio.barge_in.dismissed`: it was nothing: play on."""
    return {"type": "raydio.barge_in.dismissed", "item_id": item_id, "reason": reason}


# ---- answering -----------------------------------------------------------------------------------


def usage_object(usage: LlmUsage) -> Event:
    """Token counts of a response. The model reads and writes text: that is what is counted."""
    return {
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "input_token_details": {
            "text_tokens": usage.prompt_tokens,
            "audio_tokens": 0,
            "image_tokens": 0,
            "cached_tokens": usage.cached_tokens,
            "cached_tokens_details": {"text_tokens": usage.cached_tokens, "audio_tokens": 0},
        },
        "output_token_details": {
            "text_tokens": usage.completion_tokens,
            "audio_tokens": 0,
        },
    }


def content_part(response: Event, kind: str, text: str | None) -> Event:
    """The `part` of content_part events, laid over what names the part."""
    part = (
        {"type": "audio", "transcript": text or ""}
        if kind == "audio"
        else {"type": "text", "text": text or ""}
    )
    return {**response, "part": part}


def captions(
    about: Event, clause: int, text: str, start_s: float, words: Sequence[CaptionWord], *, final: bool
) -> Event:
    """`raydio.captions`: a clause's words and when they sound, from the item's first sample."""
    told = [
        {
            "text": word.text,
            "start_ms": round(1000 * (start_s + word.start_s)),
            "end_ms": round(1000 * (start_s + word.end_s)),
        }
        for word in words
    ]
    return {
        **about,
        "type": "raydio.captions",
        "clause": clause,
        "text": text,
        "audio_start_ms": round(1000 * start_s),
        "words": told,
        "final": final,
    }


def sources(about: Event, found: Iterable[Source]) -> Event:
    """`raydio.sources`: the passages that the answer rests on."""
    return {**about, "type": "raydio.sources", "sources": [asdict(source) for source in found]}


def turn(
    about: Event, *, silence_ms: float, voice_to_voice_ms: float | None, spans: Iterable[Span], **more: Any
) -> Event:
    """`raydio.turn`: where the time went, in milliseconds from the last sample of speech."""
    return {
        **about,
        "type": "raydio.turn",
        "silence_ms": round(silence_ms, 1),
        "voice_to_voice_ms": None if voice_to_voice_ms is None else round(voice_to_voice_ms, 1),
        "spans": [
            {"name": s.name, "start_ms": round(s.start_ms, 1), "duration_ms": round(s.duration_ms, 1)}
            for s in spans
        ],
        **more,
    }
