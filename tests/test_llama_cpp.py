"""The llama.cpp engine on the default model: plumbing, never facts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from serve_apps.args import LlmArgs
from serve_apps.engines.llama_cpp import LlamaCppLlm, _translated
from serve_apps.errors import ConfigError, ContextOverflow, InputError, StageFailed, WeightsError
from serve_apps.wire import ChatRequest, LlmDelta, LlmDone, LlmEvent, Message

FOREVER_TOKENS = 900
FREE_WITHIN_S = 20.0
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 10}, "age": {"type": "integer", "maximum": 99}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def args(**changes: Any) -> LlmArgs:
    return LlmArgs.model_validate({"engine": "llama_cpp", "n_workers": 2, "context_tokens": 1024} | changes)


@pytest.fixture(scope="module")
def engine() -> Iterator[LlamaCppLlm]:
    engine = LlamaCppLlm(args())
    yield engine
    engine.close()


def ask(text: str, **options: Any) -> ChatRequest:
    messages = (Message(role="user", content=text),)
    return ChatRequest(messages=messages, **{"temperature": 0.0, "max_tokens": 12, **options})


async def answer(engine: LlamaCppLlm, request: ChatRequest) -> tuple[str, LlmDone]:
    events = [event async for event in engine.stream_chat(request)]
    done = events.pop()
    assert isinstance(done, LlmDone)
    deltas = [event for event in events if isinstance(event, LlmDelta)]
    assert len(deltas) == len(events)
    return "".join(delta.text for delta in deltas), done


async def exhaust(stream: AsyncGenerator[LlmEvent, None], begun: asyncio.Event) -> None:
    async for _ in stream:
        begun.set()


async def test_an_answer_with_usage_and_timings(engine: LlamaCppLlm) -> None:
    text, done = await answer(engine, ask("Tell me a story."))
    assert text
    assert done.finish_reason == "length"
    assert done.usage.completion_tokens == 12
    assert done.usage.prompt_tokens == engine.count_tokens(ask("Tell me a story.").messages)
    assert 0 < done.timings.first_token_ms < done.timings.total_ms


async def test_a_prompt_is_read_once(engine: LlamaCppLlm) -> None:
    question = ask("What do you know about the history of tea in Japan?")
    await answer(engine, question)
    _, again = await answer(engine, question)
    assert again.usage.cached_tokens > again.usage.prompt_tokens // 2


async def test_stop_strings_and_seeds(engine: LlamaCppLlm) -> None:
    poem = ask("Write a poem.", temperature=1.0, seed=7)
    (text, _), (same, _) = await answer(engine, poem), await answer(engine, poem)
    assert text == same
    stop = text[len(text) // 2 :][:4]
    cut, done = await answer(engine, ask("Write a poem.", temperature=1.0, seed=7, stop=(stop,)))
    assert cut == text[: text.index(stop)]
    assert done.finish_reason == "stop"


async def test_answers_follow_a_json_schema(engine: LlamaCppLlm) -> None:
    text, done = await answer(engine, ask("Describe a person.", json_schema=PERSON, max_tokens=80))
    assert done.finish_reason == "stop"
    jsonschema.validate(json.loads(text), PERSON)


async def test_a_schema_that_is_none_is_the_callers_mistake(engine: LlamaCppLlm) -> None:
    with pytest.raises(InputError, match="nonsense"):
        await answer(engine, ask("Hi", json_schema={"type": "nonsense"}))


async def test_what_does_not_fit_is_counted(engine: LlamaCppLlm) -> None:
    with pytest.raises(ContextOverflow, match=r"2,031 tokens; .* 1,024"):
        await answer(engine, ask("x " * 2000, max_tokens=None))


@pytest.mark.parametrize("how", ["close", "cancel"])
async def test_leaving_stops_the_model(engine: LlamaCppLlm, how: str) -> None:
    streams = [engine.stream_chat(ask("Count to a million.", max_tokens=FOREVER_TOKENS)) for _ in range(2)]
    if how == "close":
        await asyncio.gather(*(anext(stream) for stream in streams))
        await asyncio.gather(*(stream.aclose() for stream in streams))
    else:
        begun = asyncio.Event()
        readings = [asyncio.create_task(exhaust(stream, begun)) for stream in streams]
        await begun.wait()
        for reading in readings:
            reading.cancel()
        await asyncio.wait(readings)
    async with asyncio.timeout(FREE_WITHIN_S):
        await asyncio.gather(*(answer(engine, ask("Hi", max_tokens=1)) for _ in range(2)))


async def test_requests_run_together(engine: LlamaCppLlm) -> None:
    answers = await asyncio.gather(*(answer(engine, ask("Say hello.")) for _ in range(4)))
    assert all(text for text, _ in answers)


@pytest.mark.parametrize(
    "text", ["😀" * 20, "שלום", "<|im_end|>", "{{ 7*7 }}"], ids=["emoji", "hebrew", "role", "template"]
)
async def test_unusual_text_is_answered_in_whole_characters(engine: LlamaCppLlm, text: str) -> None:
    said, _ = await answer(engine, ask(text))
    assert "\ufffd" not in said


def test_its_own_port_wants_a_key(engine: LlamaCppLlm) -> None:
    connection = HTTPConnection(engine._address)
    connection.request("GET", "/v1/models")
    assert connection.getresponse().read()
    connection.request("POST", "/tokenize", json.dumps({"content": "a"}))
    assert connection.getresponse().status == 401
    connection.close()


async def test_the_servers_own_limit_is_ours() -> None:
    engine = LlamaCppLlm(args(n_workers=1, context_tokens=256))
    engine.context_tokens = 4096  # so that only llama.cpp objects
    with pytest.raises(ContextOverflow, match="the context holds 256"):
        await answer(engine, ask("x " * 300))
    engine.close()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"type": "server_error", "message": "Context size has been exceeded"}, StageFailed),
        ({"type": "invalid_request_error", "message": "no"}, InputError),
        ({}, StageFailed),
    ],
    ids=["server", "request", "unknown"],
)
def test_errors_are_ours(error: dict[str, Any], expected: type[Exception]) -> None:
    assert type(_translated(error)) is expected


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"model": "/nowhere.gguf"}, ConfigError),
        ({"model": "{broken}"}, WeightsError),
        ({"model": "{broken}", "context_tokens": 0}, WeightsError),
        ({"engine_options": {"n_gpu_layres": 1}}, ConfigError),
    ],
    ids=["no such file", "broken file", "broken header", "misspelt option"],
)
def test_wrong_models_say_what_is_wrong(
    changes: dict[str, Any], error: type[Exception], tmp_path: Path
) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + bytes(100))
    if changes.get("model") == "{broken}":
        changes = changes | {"model": str(tmp_path / "broken.gguf")}
    with pytest.raises(error):
        LlamaCppLlm(args(**changes))
