"""The vLLM engine: its options always, the engine itself where vLLM is installed."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from serve_apps.args import LlmArgs
from serve_apps.engines.vllm_options import engine_options, sampling_options
from serve_apps.errors import ContextOverflow, InputError
from serve_apps.wire import ChatRequest, LlmDelta, LlmDone, Message
from tests.tiny_llama import CONTEXT, write_hugging_face

if TYPE_CHECKING:
    from serve_apps.engines.vllm import VllmLlm

AGE = {
    "type": "object",
    "properties": {"age": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["age"],
    "additionalProperties": False,
}


def args(**changes: Any) -> LlmArgs:
    return LlmArgs.model_validate({"engine": "vllm", "model": "org/model"} | changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"model": "org/model", "max_num_seqs": 4}),
        ({"n_workers": 64}, {"max_num_seqs": 64}),
        ({"context_tokens": 4096}, {"max_model_len": 4096}),
        ({"precision": "bfloat16"}, {"dtype": "bfloat16"}),
        ({"precision": "fp8"}, {"quantization": "fp8"}),
        ({"engine_options": {"max_num_seqs": 8, "seed": 1}}, {"max_num_seqs": 8, "seed": 1}),
    ],
    ids=["defaults", "batch", "context", "dtype", "quantisation", "options win"],
)  # fmt: skip
def test_args_in_vllms_words(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    options = engine_options(args(**changes))
    assert options.items() >= expected.items()
    assert ("dtype" in options) == ("dtype" in expected)


def test_a_folder_is_given_as_its_path(tmp_path: Path) -> None:
    assert engine_options(args(model=str(tmp_path)))["model"] == str(tmp_path)


def test_a_request_in_vllms_words() -> None:
    request = ChatRequest(messages=(), temperature=0.5, top_p=0.9, stop=("a", "b"), seed=7)
    assert sampling_options(request, 32) == {
        "max_tokens": 32,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["a", "b"],
        "seed": 7,
    }


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmLlm]:
    pytest.importorskip("vllm", reason="vLLM is not installed")
    os.environ.update(HF_HUB_OFFLINE="1", VLLM_NO_USAGE_STATS="1", VLLM_CPU_KVCACHE_SPACE="1")
    from serve_apps.engines.vllm import VllmLlm  # noqa: PLC0415 - only where vLLM is installed

    folder = write_hugging_face(tmp_path_factory.mktemp("tiny"))
    compact = {"backend": "xgrammar", "disable_any_whitespace": True}  # a random model likes white space
    options = {"enforce_eager": True, "structured_outputs_config": compact}
    engine = VllmLlm(args(model=str(folder), precision="float32", engine_options=options))
    yield engine
    engine.close()


def ask(text: str, **options: Any) -> ChatRequest:
    messages = (Message(role="user", content=text),)
    return ChatRequest(messages=messages, **{"temperature": 0.0, "max_tokens": 20, **options})


async def answer(engine: VllmLlm, request: ChatRequest) -> tuple[str, LlmDone]:
    events = [event async for event in engine.stream_chat(request)]
    done = events.pop()
    assert isinstance(done, LlmDone)
    return "".join(event.text for event in events if isinstance(event, LlmDelta)), done


async def the_engine_answers(engine: VllmLlm) -> None:
    _, done = await answer(engine, ask("hi"))
    assert done.finish_reason == "length"
    assert done.usage.completion_tokens == 20
    assert done.usage.prompt_tokens == engine.count_tokens(ask("hi").messages)
    poem = ask("poem", temperature=1.0, seed=3)
    assert (await answer(engine, poem))[0] == (await answer(engine, poem))[0]
    text, _ = await answer(engine, ask("age", json_schema=AGE))
    assert 0 <= json.loads(text)["age"] <= 9


async def it_refuses_what_it_cannot_do(engine: VllmLlm) -> None:
    with pytest.raises(InputError):
        await answer(engine, ask("hi", json_schema={"type": "nonsense"}))
    with pytest.raises(ContextOverflow):
        await answer(engine, ask("x" * (CONTEXT + 1)))


async def leaving_aborts(engine: VllmLlm) -> None:
    stream = engine.stream_chat(ask("hi", max_tokens=200, temperature=1.5))
    await anext(stream)
    await stream.aclose()
    assert engine._engine.get_num_unfinished_requests() == 0


def test_the_engine_on_a_random_model(engine: VllmLlm) -> None:
    """In one event loop, because vLLM's engine belongs to the loop that first used it."""

    async def everything() -> None:
        await the_engine_answers(engine)
        await it_refuses_what_it_cannot_do(engine)
        await leaving_aborts(engine)

    asyncio.run(everything())
