"""The floor of rows 1 and 2: the mock engine behind bare uvicorn, OpenAI's shape, no checks at all.

`python -m benchmarks.servers.direct_api PORT`
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from benchmarks.mock_engine import MockLlm
from serve_apps.args import LlmArgs
from serve_apps.wire import ChatRequest, LlmDelta, LlmEvent, LlmUsage, Message

ENGINE = MockLlm(LlmArgs(engine="mock"))


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


async def completions(request: Request) -> Response:
    body = orjson.loads(await request.body())
    messages = tuple(Message(role=m["role"], content=m["content"]) for m in body["messages"])
    events = ENGINE.stream_chat(ChatRequest(messages=messages, max_tokens=body.get("max_tokens")))
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


async def models(request: Request) -> Response:
    del request
    return JSONResponse({"object": "list", "data": [{"id": "mock", "object": "model"}]})


APP = Starlette(
    routes=[
        Route("/v1/chat/completions", completions, methods=["POST"]),
        Route("/v1/models", models),
    ]
)

if __name__ == "__main__":
    uvicorn.run(APP, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
