"""Requests of the OpenAI API as its clients send them, and what the stages take instead."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serve_apps.errors import InputError, UnsupportedOption
from serve_apps.wire import ChatRequest, Message


class _Part(BaseModel):
    """One part of a multi-part message."""

    type: str
    text: str = ""


class _Message(BaseModel):
    """One message of the request; roles that the models do not know are mapped or refused."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[_Part] | None

    def to_wire(self) -> Message:
        """The message as the stage takes it.

        Raises:
            UnsupportedOption: a part that is not text.
        """
        parts = (
            self.content if isinstance(self.content, list) else [_Part(type="text", text=self.content or "")]
        )
        other = next((part.type for part in parts if part.type != "text"), None)
        if other:
            raise UnsupportedOption(f"Message parts of type {other!r} are not supported.", "Send text.")
        role = "system" if self.role == "developer" else self.role
        return Message(role=role, content="".join(part.text for part in parts))


class _JsonSchema(BaseModel):
    schema_: dict[str, Any] = Field(alias="schema")


class _ResponseFormat(BaseModel):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _JsonSchema | None = None


class _StreamOptions(BaseModel):
    include_usage: bool = False


class ChatCompletionBody(BaseModel):
    """The fields of a chat completion that Raydio understands; what would change the answer is refused."""

    model_config = ConfigDict(extra="ignore")

    model: str = ""
    messages: list[_Message] = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    stop: str | list[str] | None = None
    seed: int | None = None
    stream: bool = False
    stream_options: _StreamOptions = _StreamOptions()
    response_format: _ResponseFormat | None = None
    user: str = ""
    n: int | None = None
    tools: list[dict[str, Any]] | None = None
    logprobs: bool | None = None

    def to_wire(self) -> ChatRequest:
        """The request as the stage takes it.

        Raises:
            UnsupportedOption: `n` > 1, `tools`, `logprobs`, parts that are not text.
        """
        self._refuse_unsupported()
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return ChatRequest(
            messages=tuple(message.to_wire() for message in self.messages),
            max_tokens=self.max_completion_tokens or self.max_tokens,
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            stop=tuple(stop),
            seed=self.seed,
            json_schema=self._schema(),
            caller=self.user,
        )

    def _refuse_unsupported(self) -> None:
        asked = {"n": (self.n or 1) > 1, "tools": bool(self.tools), "logprobs": bool(self.logprobs)}
        for name, is_asked in asked.items():
            if is_asked:
                raise UnsupportedOption(f"The option {name!r} is not supported here.", "Leave it out.")

    def _schema(self) -> dict[str, Any] | None:
        if self.response_format is None or self.response_format.type == "text":
            return None
        schema = self.response_format.json_schema
        return schema.schema_ if schema else {"type": "object"}


def chat_completion(body: bytes) -> ChatCompletionBody:
    """Parse a request body.

    Raises:
        InputError: not JSON, or a field that is missing or wrong; the message names it.
    """
    try:
        return ChatCompletionBody.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"The request is wrong{f' at {place!r}' if place else ''}: {first['msg']}."
        ) from error
