"""Engines behind bare uvicorn, OpenAI's shape, no checks at all: the floor of rows 1 and 2.

`python -m benchmarks.servers.direct_api PORT` serves the mock model; with `real` after it, the default model
and the default embeddings, for peers that bring no engines of their own.
"""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import AsyncIterator
from typing import Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from benchmarks.mock_engine import MockEmbeddings, MockLlm
from serve_apps.args import EmbeddingsArgs, LlmArgs
from serve_apps.contracts import EmbeddingsEngine, LlmEngine
from serve_apps.engines import engine_class
from serve_apps.wire import ChatRequest, LlmDelta, LlmEvent, LlmUsage, Message

MOCK = "mock"
REAL = "real"


def _engines(kind: str) -> tuple[LlmEngine, EmbeddingsEngine]:
    if kind == MOCK:
        return MockLlm(LlmArgs(engine="mock")), MockEmbeddings(EmbeddingsArgs(engine="mock"))
    llm, embeddings = LlmArgs(), EmbeddingsArgs()
    return engine_class("llm", llm.engine)(llm), engine_class("embeddings", embeddings.engine)(embeddings)


def _event(kind: str, choice: dict[str, Any] | None, usage: LlmUsage | None = None) -> dict[str, Any]:
    event = {"id": "chatcmpl-0", "object": kind, "created": 0, "model": "mock"}
    event["choices"] = [] if choice is None else [{"index": 0, **choice}]
    if usage is not None:
        event["usage"] = {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        }
    return event


async def _chunks(events: AsyncIterator[LlmEvent]) -> AsyncIterator[bytes]:
    kind = "chat.completion.chunk"
    async for event in events:
        if isinstance(event, LlmDelta):
            payloads = [_event(kind, {"delta": {"content": event.text}, "finish_reason": None})]
        else:
            end = _event(kind, {"delta": {}, "finish_reason": event.finish_reason})
            payloads = [end, _event(kind, None, event.usage)]
        for payload in payloads:
            yield b"data: " + orjson.dumps(payload) + b"\n\n"
    yield b"data: [DONE]\n\n"


class DirectApi:
    """Two engines and the routes to them."""

    def __init__(self, kind: str) -> None:
        self._model = kind
        self._llm, self._embeddings = _engines(kind)

    def app(self) -> Starlette:
        """The three routes."""
        return Starlette(
            routes=[
                Route("/v1/chat/completions", self._complete, methods=["POST"]),
                Route("/v1/embeddings", self._embed, methods=["POST"]),
                Route("/v1/models", self._list_models),
            ]
        )

    async def _complete(self, request: Request) -> Response:
        body = orjson.loads(await request.body())
        messages = tuple(Message(role=m["role"], content=m["content"]) for m in body["messages"])
        events = self._llm.stream_chat(ChatRequest(messages=messages, max_tokens=body.get("max_tokens")))
        if body.get("stream"):
            return StreamingResponse(_chunks(events), media_type="text/event-stream")
        text, done = "", None
        async for event in events:
            if isinstance(event, LlmDelta):
                text += event.text
            else:
                done = event
        assert done is not None
        message = {"role": "assistant", "content": text}
        choice = {"message": message, "finish_reason": done.finish_reason}
        return JSONResponse(_event("chat.completion", choice, done.usage))

    async def _embed(self, request: Request) -> Response:
        body = orjson.loads(await request.body())
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        vectors = await asyncio.to_thread(self._embeddings.embed, texts)
        if body.get("encoding_format") == "base64":
            shown: list[Any] = [base64.b64encode(vector.tobytes()).decode() for vector in vectors]
        else:
            shown = vectors.tolist()
        data = [{"object": "embedding", "index": at, "embedding": one} for at, one in enumerate(shown)]
        usage = {"prompt_tokens": 0, "total_tokens": 0}
        return JSONResponse({"object": "list", "model": self._model, "data": data, "usage": usage})

    async def _list_models(self, request: Request) -> Response:
        del request
        return JSONResponse({"object": "list", "data": [{"id": self._model, "object": "model"}]})


if __name__ == "__main__":
    api = DirectApi(sys.argv[2] if len(sys.argv) > 2 else MOCK)
    uvicorn.run(api.app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
