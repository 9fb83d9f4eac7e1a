"""A client's message, read: JSON, then the event's shape, then its value."""

from __future__ import annotations

from typing import Any

import orjson
from pydantic import ValidationError

from serve_apps.errors import ProtocolError
from serve_apps.realtime.client_events import ClientEvent
from serve_apps.realtime.config import Session
from serve_apps.realtime.shapes import EVENTS
from serve_apps.realtime.wrong_fields import wrong_field

MAX_EVENT_ID = 512
"""Characters."""


def parse(message: str, session: Session) -> tuple[str | None, ClientEvent]:
    """Read one message; returns the client's `event_id` and the event.

    Args:
        message: the text frame.
        session: the settings as they stand, which an update is laid over.

    Raises:
        ProtocolError: not an event; says which field is wrong and why, and the `event_id` if it had one.
    """
    sent = _object(message)
    event_id = _event_id(sent.pop("event_id", None))
    try:
        return event_id, _shape(sent).model_validate(sent).value(session)
    except ValidationError as error:
        problem = wrong_field(error)
    except ProtocolError as error:
        problem = error
    raise ProtocolError(problem.message, problem.hint, problem.param, event_id)


def _object(message: str) -> dict[str, Any]:
    try:
        sent = orjson.loads(message)
    except orjson.JSONDecodeError as error:
        raise ProtocolError(f"This is not JSON: {error}.", "Send one JSON object a message.") from None
    if not isinstance(sent, dict):
        raise ProtocolError("An event is a JSON object.", 'Send {"type": …}.')
    return sent


def _event_id(sent: Any) -> str | None:
    if sent is None or (isinstance(sent, str) and len(sent) <= MAX_EVENT_ID):
        return sent
    raise ProtocolError(
        f"event_id must be a string of at most {MAX_EVENT_ID} characters.", "", param="event_id"
    )


def _shape(sent: dict[str, Any]) -> Any:
    kind = sent.get("type")
    if kind is None:
        raise ProtocolError("type is missing.", "docs/realtime.md lists the events.", "type")
    if not isinstance(kind, str) or kind not in EVENTS:
        raise ProtocolError(
            f"A client cannot send {str(kind)[:80]!r}.", "docs/realtime.md lists the events.", "type"
        )
    return EVENTS[kind]
