"""What the doors' JSON endpoints share: bodies that are strictly checked, answers, errors told alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Annotated, Any, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from serve_apps.door import error_response
from serve_apps.errors import InputError, RaydioError

MAX_TAGS = 50
NO_STORE = {"cache-control": "no-store"}
Id = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Label = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)]
Body = TypeVar("Body", bound=BaseModel)
Endpoint = Callable[[Any, Request], Awaitable[Response]]


class Strict(BaseModel):
    """What is not known is refused: a misspelt field would be ignored in silence."""

    model_config = ConfigDict(extra="forbid")


def body(kind: type[Body], data: bytes) -> Body:
    """Parse a JSON body.

    Raises:
        InputError: not JSON, or a field that is missing, unknown or wrong; the message names it.
    """
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise _wrong(error) from error


def query(kind: type[Body], values: Mapping[str, str]) -> Body:
    """The same for an address's query.

    Raises:
        InputError: an option that is unknown or wrong; the message names it.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        raise _wrong(error) from error


def told(endpoint: Endpoint) -> Endpoint:
    """An endpoint, a method, whose errors are answers."""

    @wraps(endpoint)
    async def answered(self: Any, request: Request) -> Response:
        try:
            return await endpoint(self, request)
        except RaydioError as error:
            return error_response(error)

    return answered


def json_answer(content: Any, status: int = 200) -> Response:
    """An answer that nobody keeps."""
    return Response(orjson.dumps(content), status, NO_STORE, "application/json")


def id_of(request: Request) -> str:
    """The `{id}` of the endpoint's path."""
    found: str = request.path_params["id"]
    return found


def _wrong(error: ValidationError) -> InputError:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return InputError(f"The request is wrong{f' at {place!r}' if place else ''}: {first['msg']}.")
