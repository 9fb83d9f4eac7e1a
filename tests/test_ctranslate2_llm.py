"""The CTranslate2 engine on the default model: plumbing and equality with llama.cpp, never facts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from serve_apps import weights
from serve_apps.args import LlmArgs
from serve_apps.contracts import LlmEngine
from serve_apps.engines.ctranslate2_llm import CTranslate2Llm
from serve_apps.engines.llama_cpp import LlamaCppLlm
from serve_apps.errors import ConfigError, ContextOverflow, UnsupportedOption, WeightsError
from serve_apps.llm import LlmStage
from serve_apps.wire import ChatRequest, LlmDelta, LlmDone, LlmEvent, Message

MODEL = "smollm2-135m-instruct"
FOREVER_TOKENS = 4000
"""A minute's work."""
FREE_WITHIN_S = 10.0
"""A token, or reading a short prompt, on a machine busy with something else."""

CORPUS = [
    "Hello, world! It's 2026-11-21, isn't it? We'll see.",
    "1234567890 3.14159 0x7f £1,000 50% 2²",
    "   leading, trailing   \n\n\n and\ttabs\t\t \r\n",
    "naïve façade Ünïcödé ﬁ ǅ İi ß",
    "שלום עולם! مرحبا بالعالم",
    "日本語のテスト 中文测试 한국어 ไทย हिन्दी",
    "😀👩‍👩‍👧‍👦🏳️‍🌈 ☕️ \u200b\u202e",
    "def f(x):\n    return {'a': [1, 2, 3][x]}  # comment\n",
    "snake_case camelCase SCREAMING_CASE http://example.org/?q=a&b=c#d",
    "x" * 300 + " " * 40 + "." * 40,
    "<|im_start|>system\nfake<|im_end|>\n<|im_end|",
    "\x00\x01\x7f\ufffd\U0010ffff",
    "",
]


@pytest.fixture(scope="module")
def engine() -> Iterator[CTranslate2Llm]:
    engine = CTranslate2Llm(LlmArgs(n_workers=2))
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def llama_cpp() -> Iterator[LlamaCppLlm]:
    engine = LlamaCppLlm(LlmArgs(engine="llama_cpp", n_workers=1, context_tokens=1024))
    yield engine
    engine.close()


def ask(text: str, **options: object) -> ChatRequest:
    messages = (Message(role="user", content=text),)
    return ChatRequest(messages=messages, **{"temperature": 0.0, "max_tokens": 16, **options})  # type: ignore[arg-type]


async def answer(engine: LlmEngine, request: ChatRequest) -> tuple[str, LlmDone]:
    deltas, done = [], None
    async for event in engine.stream_chat(request):
        if isinstance(event, LlmDelta):
            deltas.append(event)
        else:
            done = event
    assert done
    assert sum(delta.n_tokens for delta in deltas) <= done.usage.completion_tokens
    assert all(delta.text for delta in deltas)
    return "".join(delta.text for delta in deltas), done


def tokenize(engine: LlamaCppLlm, text: str) -> list[int]:
    connection = HTTPConnection(urlsplit(engine._server.listening_address).netloc)
    body = json.dumps({"content": text, "parse_special": True})
    connection.request("POST", "/tokenize", body, {"Authorization": f"Bearer {engine._key}"})
    found: list[int] = json.loads(connection.getresponse().read())["tokens"]
    connection.close()
    return found


@pytest.mark.parametrize("text", CORPUS, ids=range(len(CORPUS)))
def test_tokens_are_those_of_llama_cpp(engine: CTranslate2Llm, llama_cpp: LlamaCppLlm, text: str) -> None:
    assert engine._tokenizer.encode(text, add_special_tokens=False).ids == tokenize(llama_cpp, text)


@pytest.mark.parametrize(
    "messages",
    [
        [Message(role="user", content="Hello")],
        [Message(role="system", content="Be brief."), Message(role="user", content="Hello")],
        [
            Message(role="user", content="Hi"),
            Message(role="assistant", content="Hello."),
            Message(role="user", content="😀"),
        ],
    ],
    ids=["one", "system", "turns"],
)
def test_prompts_count_as_in_llama_cpp(
    engine: CTranslate2Llm, llama_cpp: LlamaCppLlm, messages: list[Message]
) -> None:
    assert engine.count_tokens(messages) == llama_cpp.count_tokens(messages)


@pytest.mark.parametrize(
    "text",
    [
        "What is 2+2?",
        "Repeat exactly: the cat sat on the mat.",
        "The office opens at 9:15. When does the office open?",
        "What is the opposite of hot?",
    ],
)
async def test_greedy_answers_begin_as_in_llama_cpp(
    engine: CTranslate2Llm, llama_cpp: LlamaCppLlm, text: str
) -> None:
    """Two quantisations of the same weights: they may part later, not while the model is sure."""
    ours, _ = await answer(engine, ask(text, max_tokens=8))
    theirs, _ = await answer(llama_cpp, ask(text, max_tokens=8))
    assert ours == theirs


async def test_usage_timings_and_length(engine: CTranslate2Llm) -> None:
    text, done = await answer(engine, ask("Tell me a story.", max_tokens=12))
    assert text
    assert done.finish_reason == "length"
    assert done.usage.completion_tokens == 12
    assert done.usage.prompt_tokens == engine.count_tokens(ask("Tell me a story.").messages)
    assert done.timings.queue_ms == 0
    assert 0 < done.timings.first_token_ms < done.timings.total_ms
    assert done.timings.tokens_per_s > 0


async def test_an_answer_ends_by_itself(engine: CTranslate2Llm) -> None:
    text, done = await answer(engine, ask("What is the capital of France? One word.", max_tokens=500))
    assert done.finish_reason == "stop"
    assert "<|im_end|>" not in text


async def test_a_stop_string_ends_the_answer_before_it(engine: CTranslate2Llm) -> None:
    whole, _ = await answer(engine, ask("Tell me a story."))
    stop = whole[len(whole) // 2 :][:5]
    cut, done = await answer(engine, ask("Tell me a story.", stop=(stop,)))
    assert cut == whole[: whole.index(stop)]
    assert done.finish_reason == "stop"
    assert done.usage.completion_tokens < 16


async def test_the_same_seed_gives_the_same_text_whatever_runs_beside_it(engine: CTranslate2Llm) -> None:
    request = ask("Write a poem.", temperature=1.0, seed=7)
    alone, _ = await answer(engine, request)
    together = await asyncio.gather(
        answer(engine, request),
        answer(engine, ask("Write a poem.", temperature=1.0)),
        answer(engine, request),
    )
    assert together[0][0] == together[2][0] == alone
    other, _ = await answer(engine, ask("Write a poem.", temperature=1.0, seed=8))
    assert other != alone


async def test_without_a_seed_answers_differ_even_after_a_seeded_one(engine: CTranslate2Llm) -> None:
    await answer(engine, ask("Hi", temperature=1.0, seed=7, max_tokens=1))
    request = ask("Write a poem.", temperature=2.0)
    texts = {(await answer(engine, request))[0] for _ in range(3)}
    assert len(texts) == 3


async def test_greedy_is_the_limit_of_a_narrow_nucleus(engine: CTranslate2Llm) -> None:
    greedy, _ = await answer(engine, ask("Say hello."))
    narrow, _ = await answer(engine, ask("Say hello.", temperature=1.0, top_p=1e-6))
    assert narrow == greedy


@pytest.mark.parametrize("how", ["close", "cancel"])
async def test_leaving_stops_the_model_and_frees_the_worker(engine: CTranslate2Llm, how: str) -> None:
    """The model would need a minute for the rest; both workers are free at once."""
    streams = [engine.stream_chat(ask("Count to a million.", max_tokens=FOREVER_TOKENS)) for _ in range(2)]
    await asyncio.gather(*(anext(stream) for stream in streams))
    assert engine._generator.num_active_batches == 2
    for stream in streams:
        if how == "close":
            await stream.aclose()
        else:
            reading = asyncio.create_task(_exhaust(stream, begun := asyncio.Event()))
            await begun.wait()
            reading.cancel()
            await asyncio.wait([reading])
            assert reading.cancelled()
    async with asyncio.timeout(FREE_WITHIN_S):
        while engine._generator.num_active_batches:  # noqa: ASYNC110 - CTranslate2 counts down a little later
            await asyncio.sleep(0)


async def test_a_stage_that_is_left_frees_its_worker() -> None:
    stage = LlmStage(LlmArgs(n_workers=1))
    stream, begun = stage.stream_chat(ask("Count.", max_tokens=FOREVER_TOKENS)), asyncio.Event()
    reading = asyncio.create_task(_exhaust(stream, begun))
    await begun.wait()
    reading.cancel()
    async with asyncio.timeout(FREE_WITHIN_S):
        await asyncio.wait([reading])
    assert (await stage.describe()).n_running == 0
    stage.close()


@pytest.mark.parametrize(
    "text",
    ["😀" * 50, "שלום עולם", "a\x00b", "<|im_end|>", "\u202eabc", "{{ 7*7 }}"],
    ids=["emoji", "hebrew", "nul", "role", "override", "template"],
)
async def test_unusual_text_is_answered_in_whole_characters(engine: CTranslate2Llm, text: str) -> None:
    said, _ = await answer(engine, ask(text))
    assert "\ufffd" not in said


async def test_what_does_not_fit_is_counted(engine: CTranslate2Llm) -> None:
    with pytest.raises(ContextOverflow, match=r"prompt has 9,031 tokens.* 8,192"):
        await answer(engine, ask("x " * 9000, max_tokens=None))
    with pytest.raises(ContextOverflow, match=r"31 tokens and the answer 8,180"):
        await answer(engine, ask("Hi", max_tokens=8180))


async def test_a_json_schema_is_refused_with_the_engines_that_can(engine: CTranslate2Llm) -> None:
    with pytest.raises(UnsupportedOption, match="llama_cpp"):
        await answer(engine, ask("Hi", json_schema={"type": "object"}))


def test_the_card_names_the_model(engine: CTranslate2Llm) -> None:
    assert engine.card.model == "SmolLM2-135M-Instruct"
    assert engine.card.licence == "Apache-2.0"
    assert engine.card.size_bytes > 100_000_000
    assert engine.context_tokens == 8192


async def test_a_file_and_a_converted_folder_work_like_the_name(engine: CTranslate2Llm) -> None:
    expected, _ = await answer(engine, ask("Hi"))
    file = next(weights.ensure(MODEL).glob("*.gguf"))
    for model in (str(engine._folder), str(file)):
        same = CTranslate2Llm(LlmArgs(model=model, n_workers=1, context_tokens=512))
        said, _ = await answer(same, ask("Hi"))
        assert said == expected
        assert same.context_tokens == 512
        same.close()


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ({"model": "/nowhere/at/all"}, WeightsError),
        ({"model": "{empty}"}, ConfigError),
        ({"model": "{truncated}"}, WeightsError),
        ({"context_tokens": 1_000_000}, ConfigError),
    ],
    ids=["no such model", "empty folder", "truncated file", "context too long"],
)
def test_wrong_models_say_what_is_wrong(
    args: dict[str, object], error: type[Exception], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.gguf").write_bytes(next(weights.ensure(MODEL).glob("*.gguf")).read_bytes()[:1000])
    names = {"{empty}": tmp_path / "empty", "{truncated}": tmp_path / "broken.gguf"}
    model = args.get("model", MODEL)
    with pytest.raises(error):
        CTranslate2Llm(LlmArgs.model_validate(args | {"model": str(names.get(str(model), model))}))


async def _exhaust(stream: AsyncGenerator[LlmEvent, None], begun: asyncio.Event) -> None:
    async for _ in stream:
        begun.set()


async def test_a_system_prompt_read_before_changes_no_answer(engine: CTranslate2Llm) -> None:
    messages = (
        Message(role="system", content="Answer in one short sentence, and never mention this rule."),
        Message(role="user", content="What is a rainbow?"),
    )
    request = ChatRequest(messages=messages, max_tokens=12, temperature=0, system_is_shared=True)
    answers = [[event async for event in engine.stream_chat(request)] for _ in range(4)]
    texts = {"".join(event.text for event in events if isinstance(event, LlmDelta)) for events in answers}
    assert len(texts) == 1
    assert len(engine._static_prompts._known) == 1
    assert {events[-1].usage.prompt_tokens for events in answers} == {engine.count_tokens(messages)}  # type: ignore[union-attr]


def test_control_tokens_are_known(engine: CTranslate2Llm, llama_cpp: LlamaCppLlm) -> None:
    assert "<|im_end|>" in engine.control_tokens
    assert set(engine.control_tokens) == set(llama_cpp.control_tokens)
    broken = "<\u200b|im_end|>"
    end = engine._tokenizer.token_to_id("<|im_end|>")
    assert end in engine._tokenizer.encode("<|im_end|>", add_special_tokens=False).ids
    assert end not in engine._tokenizer.encode(broken, add_special_tokens=False).ids


def test_texts_have_the_same_lengths_in_both_engines(engine: CTranslate2Llm, llama_cpp: LlamaCppLlm) -> None:
    texts = [text for text in CORPUS if "\x00" not in text]
    assert engine.text_tokens(texts) == llama_cpp.text_tokens(texts)
