"""The /v1 door over fake stages, driven by the official SDK."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import httpx
import openai
import pytest
from fastapi import FastAPI
from openai import AsyncOpenAI
from starlette.requests import Request
from starlette.responses import StreamingResponse

from serve_apps.api import Api
from serve_apps.errors import ContextOverflow, RaydioError, StageBusy, StageFailed
from serve_apps.wire import ChatRequest, LlmDelta, LlmEvent
from tests.fake_clients import FakeLlm, card, fake_clients

MODEL = card("llm").model
ASK = [{"role": "user", "content": "hello there"}]


class FailingLlm(FakeLlm):
    """Fails before its first token, or after `n_tokens` of them."""

    def __init__(self, error: RaydioError, n_tokens: int = 0) -> None:
        super().__init__()
        self._error = error
        self._n_tokens = n_tokens

    async def stream_chat(self, request: ChatRequest) -> AsyncGenerator[LlmEvent, None]:
        self.requests.append(request)
        for n in range(self._n_tokens):
            yield LlmDelta(text=f"word{n} ", n_tokens=1)
        raise self._error


class EndlessLlm(FakeLlm):
    """Speaks until it is stopped."""

    stopped = False

    async def stream_chat(self, request: ChatRequest) -> AsyncGenerator[LlmEvent, None]:  # noqa: ARG002
        try:
            while True:
                yield LlmDelta(text="on ", n_tokens=1)
        finally:
            self.stopped = True


def transport(llm: FakeLlm) -> httpx.ASGITransport:
    app = FastAPI()
    app.router.routes.extend(Api(replace(fake_clients(), llm=llm)).routes("/v1"))
    return httpx.ASGITransport(app)


def sdk(llm: FakeLlm) -> AsyncOpenAI:
    http = httpx.AsyncClient(transport=transport(llm))
    return AsyncOpenAI(base_url="http://raydio.test/v1", api_key="t", http_client=http, max_retries=0)


async def test_models_are_listed() -> None:
    client = sdk(FakeLlm())
    assert [m.id async for m in client.models.list()] == [MODEL]
    assert (await client.models.retrieve(MODEL)).id == MODEL
    with pytest.raises(openai.NotFoundError, match=MODEL):
        await client.models.retrieve("gpt-9")


async def test_a_whole_answer() -> None:
    llm = FakeLlm()
    done = await sdk(llm).chat.completions.create(
        model=MODEL,
        messages=[{"role": "developer", "content": "be kind"}, *ASK],
        max_tokens=5,
        temperature=0,
        stop="END",
        seed=3,
        user="ada",
    )
    assert done.choices[0].message.content
    assert done.choices[0].finish_reason in ("stop", "length")
    assert done.usage
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens
    (request,) = llm.requests
    assert (request.max_tokens, request.temperature, request.stop) == (5, 0, ("END",))
    assert (request.seed, request.caller) == (3, "ada")
    assert [m.role for m in request.messages] == ["system", "user"]


async def test_a_streamed_answer_equals_the_whole_one() -> None:
    whole = await sdk(FakeLlm()).chat.completions.create(model=MODEL, messages=ASK)
    chunks = [
        chunk
        async for chunk in await sdk(FakeLlm()).chat.completions.create(
            model=MODEL, messages=ASK, stream=True, stream_options={"include_usage": True}
        )
    ]
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == whole.choices[0].finish_reason
    assert chunks[-1].usage == whole.usage
    assert len({c.id for c in chunks}) == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_errors_before_the_first_token_keep_their_status(*, stream: bool) -> None:
    busy = FailingLlm(StageBusy("llm", "The queue is full.", "Try again.", 2.2))
    with pytest.raises(openai.RateLimitError) as shed:
        await sdk(busy).chat.completions.create(model=MODEL, messages=ASK, stream=stream)
    assert shed.value.response.headers["retry-after"] == "3"
    full = FailingLlm(ContextOverflow("Too long.", "Shorten it."))
    with pytest.raises(openai.BadRequestError) as overflow:
        await sdk(full).chat.completions.create(model=MODEL, messages=ASK, stream=stream)
    assert overflow.value.code == "context_length_exceeded"


async def test_an_error_in_mid_stream_is_told_in_the_stream() -> None:
    llm = FailingLlm(StageFailed("llm", "The engine broke."), n_tokens=2)
    chunks = await sdk(llm).chat.completions.create(model=MODEL, messages=ASK, stream=True)
    seen = [(await anext(chunks)).choices[0].delta.content for _ in range(2)]
    assert seen == ["word0 ", "word1 "]
    with pytest.raises(openai.APIError, match="engine broke"):
        await anext(chunks)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{not json", "wrong"),
        (b"{}", "messages"),
        (b'{"messages": []}', "messages"),
        (b'{"messages": [{"role": "robot", "content": "x"}]}', "role"),
        (b'{"messages": [{"role": "user", "content": "x"}], "temperature": 9}', "temperature"),
        (b'{"messages": [{"role": "user", "content": "x"}], "n": 2}', "'n'"),
        (b'{"messages": [{"role": "user", "content": "x"}], "tools": [{}]}', "'tools'"),
        (b'{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}', "image_url"),
    ],
)
async def test_bad_requests_name_the_field(body: bytes, message: str) -> None:
    async with httpx.AsyncClient(transport=transport(FakeLlm()), base_url="http://raydio.test") as client:
        answer = await client.post("/v1/chat/completions", content=body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


async def test_an_unknown_model_is_named() -> None:
    with pytest.raises(openai.NotFoundError, match="gpt-9"):
        await sdk(FakeLlm()).chat.completions.create(model="gpt-9", messages=ASK)


async def test_a_reader_that_leaves_stops_the_model() -> None:
    llm = EndlessLlm()
    async with aclosing(streamed(llm)) as chunks:
        await anext(chunks)
        await anext(chunks)
    assert llm.stopped


async def streamed(llm: FakeLlm) -> AsyncGenerator[bytes, None]:
    """The body of a streamed answer, as the server iterates it."""
    body = json.dumps({"model": MODEL, "messages": ASK, "stream": True}).encode()

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    request = Request({"type": "http", "method": "POST", "headers": [], "path": "/"}, receive)
    response = await Api(replace(fake_clients(), llm=llm)).chat_completions(request)
    assert isinstance(response, StreamingResponse)
    async with aclosing(response.body_iterator) as chunks:
        async for chunk in chunks:
            yield chunk
