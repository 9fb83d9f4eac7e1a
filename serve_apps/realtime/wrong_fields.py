"""What is wrong with an event, as one sentence that names the field."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from serve_apps.errors import ProtocolError

_TAGS = {"server_vad", "semantic_vad", "message", "item_reference"}
"""Parts of pydantic's locations that name a choice and no field."""
_EXPECTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "dict_type": "an object",
    "string_pattern_mismatch": "letters, digits, '-' and '_'",
    "too_short": "longer than that",
    "string_too_short": "longer than that",
}
_LIMITS = {
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "string_too_long": "at most {max_length} characters",
    "literal_error": "{expected}",
    "union_tag_invalid": "{expected_tags}",
}
_SHOWN_CHARACTERS = 40


def wrong_field(error: ValidationError, inside: str = "") -> ProtocolError:
    """The first thing that is wrong.

    Args:
        error: from the event's shape, or from a part of it.
        inside: the path of that part, `session`.
    """
    problems = error.errors(include_url=False)
    first = problems[0]
    path = _path(first, inside)
    if first["type"] == "extra_forbidden":
        return ProtocolError(
            f"{path} is not a field of this event.", "Leave it out; docs/realtime.md lists the fields.", path
        )
    if first["type"] in ("missing", "union_tag_not_found"):
        return ProtocolError(f"{path} is missing.", "", path)
    expected = " or ".join(_expected(problem) for problem in problems if _path(problem, inside) == path)
    return ProtocolError(f"{path} must be {expected}{_instead(first)}.", "", path)


def _path(problem: ErrorDetails, inside: str) -> str:
    fields = [str(part) for part in problem["loc"] if _is_field(part)]
    if problem["type"].startswith("union_tag"):
        fields.append("type")
    return ".".join([inside, *fields] if inside else fields)


def _is_field(part: int | str) -> bool:
    return isinstance(part, int) or (part.isidentifier() and part not in _TAGS)


def _expected(problem: ErrorDetails) -> str:
    if problem["type"] in _LIMITS:
        return _LIMITS[problem["type"]].format(**problem["ctx"])
    return _EXPECTED.get(problem["type"]) or f"different: {problem['msg'][0].lower()}{problem['msg'][1:]}"


def _instead(problem: ErrorDetails) -> str:
    """What was sent, where it is short enough to be shown."""
    value: Any = problem.get("ctx", {}).get("tag", problem["input"])
    shown = "" if isinstance(value, (dict, list)) else json.dumps(value, ensure_ascii=False, default=str)
    return f", not {shown}" if 0 < len(shown) <= _SHOWN_CHARACTERS else ""
