"""`POST /chat`: a question in, an answer and its sources out; one call for programs without conversations.

{"query": "When does it open?"}  →  {"response": "At nine [1].", "sources": [{"text": …, "score": …}], …}
"""

# No `from __future__ import annotations`: Serve checks `args:` only against an annotation that is a class.

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import orjson
from fastapi import FastAPI
from pydantic import Field
from ray.serve import Application
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_apps.access import user_of
from serve_apps.args import ApiArgs
from serve_apps.clients import over_handles
from serve_apps.contracts import Chat
from serve_apps.errors import StageFailed, status_of
from serve_apps.ingress import application
from serve_apps.rest import Strict, body, json_answer, told
from serve_apps.wire import Message, SourcesFound, TextDelta, TurnDone, TurnEvent, TurnFailed, TurnRequest
from serve_apps.wire_knowledge import Retrieval, SearchMethod

MAX_QUERY_CHARACTERS = 100_000


class _Turn(Strict):
    """One earlier message."""

    role: Literal["user", "assistant"]
    content: str


class ChatBody(Strict):
    """What `POST /chat` takes; everything but the query has a default."""

    query: str = Field(min_length=1, max_length=MAX_QUERY_CHARACTERS)
    history: tuple[_Turn, ...] = ()
    stream: bool = False
    mode: Literal["documents_only", "documents_first", "no_documents"] = "documents_first"
    collections: tuple[str, ...] = ()
    method: SearchMethod = "hybrid"
    top_k: int | None = Field(default=None, ge=1, le=50)
    """Passages that the model reads."""
    rerank: bool = True
    min_score: float | None = None
    system_prompt: str = ""
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float = Field(default=0.3, ge=0, le=2)
    """Lower than in a chat: an answer from documents needs no invention."""
    seed: int | None = None

    def to_wire(self, user: str) -> TurnRequest:
        """The turn that this asks for."""
        earlier = (Message(role=turn.role, content=turn.content) for turn in self.history)
        return TurnRequest(
            messages=(*earlier, Message(role="user", content=self.query)),
            system_prompt=self.system_prompt,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            seed=self.seed,
            caller=user,
            user=user,
            retrieval=Retrieval(
                mode=self.mode,
                collections=self.collections,
                method=self.method,
                n_passages=self.top_k,
                rerank=self.rerank,
                min_score=self.min_score,
            ),
        )


@dataclass(slots=True)
class _Whole:
    """A turn gathered into one answer."""

    response: str = ""
    sources: list[dict[str, Any]] = field(default_factory=list)
    query: str = ""
    done: TurnDone | None = None
    failed: TurnFailed | None = None

    def add(self, event: TurnEvent) -> None:
        match event:
            case TextDelta(text=text):
                self.response += text
            case SourcesFound(sources=found, query=query):
                self.sources, self.query = [asdict(source) for source in found], query
            case TurnDone():
                self.done = event
            case TurnFailed():
                self.failed = event
            case _:
                pass


class SeedDoor:
    """The endpoint.

    Args:
        chat: leads the turn.
    """

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    def routes(self, path: str) -> list[Route]:
        """The route at `path`: `/chat`, or `/` where Serve's route prefix is that already."""
        return [Route(path, self.answer, methods=["POST"])]

    @told
    async def answer(self, request: Request) -> Response:
        """POST /chat: the whole answer, or with `"stream": true` server-sent events."""
        asked = body(ChatBody, await request.body())
        turn = asked.to_wire(user_of(request.scope))
        return self._streamed(turn) if asked.stream else await self._whole(turn)

    async def _whole(self, turn: TurnRequest) -> Response:
        whole = _Whole()
        async with aclosing(self._chat.stream_turn(turn)) as events:
            async for event in events:
                whole.add(event)
        if whole.failed is not None:
            return _failure(whole.failed)
        if whole.done is None:
            raise StageFailed("chat", "The answer ended before it was complete.", "Try again.")
        answer = {"response": whole.response, "sources": whole.sources, **_facts(whole.done)}
        return json_answer(answer | ({"searched_for": whole.query} if whole.query else {}))

    def _streamed(self, turn: TurnRequest) -> Response:
        headers = {"cache-control": "no-cache"}
        return StreamingResponse(self._events(turn), media_type="text/event-stream", headers=headers)

    async def _events(self, turn: TurnRequest) -> AsyncGenerator[bytes, None]:
        async with aclosing(self._chat.stream_turn(turn)) as events:
            async for event in events:
                if (told := _told(event)) is not None:
                    yield b"data: " + orjson.dumps(told) + b"\n\n"
        yield b"data: [DONE]\n\n"


def _told(event: TurnEvent) -> dict[str, Any] | None:
    match event:
        case TextDelta(text=text):
            return {"type": "delta", "text": text}
        case SourcesFound(sources=found, query=query):
            return {"type": "sources", "sources": [asdict(source) for source in found], "searched_for": query}
        case TurnDone():
            return {"type": "done", **_facts(event)}
        case TurnFailed():
            return {"type": "error", "code": event.code, "message": event.message}
        case _:
            return None


def _facts(done: TurnDone) -> dict[str, Any]:
    return {
        "notes": list(done.notes),
        "usage": asdict(done.usage),
        "first_token_ms": round(done.first_token_ms, 1),
        "tokens_per_s": round(done.tokens_per_s, 1),
        "waterfall": [asdict(bar) for bar in done.waterfall],
    }


def _failure(failed: TurnFailed) -> Response:
    wait_s = failed.retry_after_s
    body = {"error": {"message": failed.message, "type": failed.stage, "param": None, "code": failed.code}}
    headers = {"retry-after": str(round(wait_s + 0.5))} if wait_s else None
    return Response(orjson.dumps(body), status_of(failed.code), headers, "application/json")


class _WithoutSlash:
    """Takes `/chat` for `/chat/`, below a route prefix, where a redirect would ask for the question again."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == scope.get("root_path"):
            scope = {**scope, "path": f"{scope['path']}/"}
        await self._app(scope, receive, send)


def app(args: ApiArgs) -> Application:
    """The endpoint as an application of its own, with `/chat` as its route prefix."""
    del args

    def build() -> FastAPI:
        door = FastAPI(openapi_url=None)
        door.router.routes.extend(SeedDoor(over_handles().chat).routes("/"))
        door.add_middleware(_WithoutSlash)
        return door

    return application("chat-door", build)
