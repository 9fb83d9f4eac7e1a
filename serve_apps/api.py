"""The /v1 door: the OpenAI API over the same stages that the pages use.

Plain Starlette endpoints: on this path every millisecond is the user's time to first token.
"""

# No `from __future__ import annotations`: Serve checks `args:` only against an annotation that is a class.

import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import orjson
from fastapi import FastAPI
from ray.serve import Application
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from serve_apps.args import ApiArgs
from serve_apps.clients import over_handles
from serve_apps.contracts import Clients
from serve_apps.door import error_response
from serve_apps.errors import RaydioError, StageFailed, UnknownName
from serve_apps.ingress import application
from serve_apps.openai_requests import chat_completion
from serve_apps.rest import json_answer, told
from serve_apps.wire import ChatRequest, LlmDone, LlmUsage, ModelCard

CARD_FRESH_S = 30.0


class Api:
    """The endpoints, holding the clients that they call."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._card: ModelCard | None = None
        self._card_asked = 0.0

    def routes(self, prefix: str) -> list[Route]:
        """Routes under `prefix`: `/v1`, or nothing where Serve's route prefix is that already."""
        return [
            Route(f"{prefix}/models", self.models, methods=["GET"]),
            Route(f"{prefix}/models/{{model:path}}", self.model, methods=["GET"]),
            Route(f"{prefix}/chat/completions", self.chat_completions, methods=["POST"]),
        ]

    @told
    async def models(self, _request: Request) -> Response:
        """GET /v1/models."""
        card = await self._llm_card()
        return json_answer({"object": "list", "data": [_model_object(card)]})

    @told
    async def model(self, request: Request) -> Response:
        """GET /v1/models/{model}."""
        return json_answer(_model_object(await self._known_model(request.path_params["model"])))

    @told
    async def chat_completions(self, request: Request) -> Response:
        """POST /v1/chat/completions, streaming or not."""
        body = chat_completion(await request.body())
        wire = body.to_wire()
        card = await self._known_model(body.model)
        answer = _Answer(card.model, self._clients, wire)
        if not body.stream:
            return await answer.whole()
        return await answer.streamed(include_usage=body.stream_options.include_usage)

    async def _llm_card(self) -> ModelCard:
        """The card of what answers, asked again after CARD_FRESH_S: it changes only with a deployment."""
        if self._card is None or time.monotonic() - self._card_asked > CARD_FRESH_S:
            self._card = (await self._clients.llm.describe()).card
            self._card_asked = time.monotonic()
        return self._card

    async def _known_model(self, name: str) -> ModelCard:
        card = await self._llm_card()
        if name and name not in (card.model, card.model.lower()):
            raise UnknownName(
                f"There is no model {name!r} here.", f"Use {card.model!r}; GET /v1/models lists them."
            )
        return card


class _Answer:
    """One chat completion on its way out, in OpenAI's shapes."""

    def __init__(self, model: str, clients: Clients, request: ChatRequest) -> None:
        self._llm = clients.llm
        self._request = request
        self._head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}

    async def whole(self) -> Response:
        text = ""
        async with aclosing(self._llm.stream_chat(self._request)) as events:
            async for event in events:
                if isinstance(event, LlmDone):
                    choice = {
                        "index": 0,
                        "message": {"role": "assistant", "content": text, "refusal": None},
                        "finish_reason": event.finish_reason,
                        "logprobs": None,
                    }
                    return json_answer(
                        {
                            **self._head,
                            "object": "chat.completion",
                            "choices": [choice],
                            "usage": _usage(event.usage),
                        }
                    )
                text += event.text
        raise StageFailed("llm", "The model gave no answer.", "Try again.")

    async def streamed(self, *, include_usage: bool) -> Response:
        """The response begins with the first token, so that an error before it keeps its own status."""
        events = self._chunks(include_usage=include_usage)
        first = await anext(events)
        return StreamingResponse(
            _continued(first, events), media_type="text/event-stream", headers={"cache-control": "no-cache"}
        )

    async def _chunks(self, *, include_usage: bool) -> AsyncGenerator[bytes, None]:
        role: dict[str, str] = {"role": "assistant"}
        async with aclosing(self._llm.stream_chat(self._request)) as events:
            async for event in events:
                if isinstance(event, LlmDone):
                    yield self._chunk(role, event.finish_reason)
                    if include_usage:
                        yield self._sse({"choices": [], "usage": _usage(event.usage)})
                    yield b"data: [DONE]\n\n"
                    return
                yield self._chunk({**role, "content": event.text}, None)
                role = {}

    def _chunk(self, delta: dict[str, str], finish_reason: str | None) -> bytes:
        return self._sse({"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]})

    def _sse(self, fields: dict[str, Any]) -> bytes:
        return b"data: " + orjson.dumps({**self._head, "object": "chat.completion.chunk", **fields}) + b"\n\n"


async def _continued(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The stream after its first chunk was awaited; an error now can only be told inside it."""
    async with aclosing(rest):
        yield first
        try:
            async for chunk in rest:
                yield chunk
        except RaydioError as error:
            yield b"data: " + bytes(error_response(error).body) + b"\n\n"


def _usage(usage: LlmUsage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def _model_object(card: ModelCard) -> dict[str, Any]:
    return {"id": card.model, "object": "model", "created": 0, "owned_by": card.engine}


def app(args: ApiArgs) -> Application:
    """The API as an application of its own, with `/v1` as its route prefix."""

    def build() -> FastAPI:
        # Here and not above: the process that deploys needs no doors.
        from serve_apps.doors import routes  # noqa: PLC0415

        api = FastAPI(openapi_url=None)
        api.router.routes.extend(routes("", over_handles(), args.realtime, args.retrieval))
        return api

    return application("api", build)
