"""Language models through CTranslate2: the fastest engine found for small models without a GPU.

Every worker decodes one request; workers share the weights. System prompts that requests share are read
once. There is no continuous batching, no prompt cache between turns and no grammar: the llama_cpp and vllm
engines have those.
"""

from __future__ import annotations

import atexit
import json
import threading
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import ctranslate2
from ctranslate2 import GenerationStepResult
from tokenizers import Tokenizer

from serve_apps import weights
from serve_apps.args import LlmArgs
from serve_apps.engines.answer import Answer, stream_from_thread
from serve_apps.engines.chat_template import ChatTemplate, plain
from serve_apps.engines.context import answer_limit
from serve_apps.engines.llama_source import ctranslate2_folder
from serve_apps.engines.static_prompts import StaticPrompts
from serve_apps.engines.text_stream import TextStream
from serve_apps.errors import ConfigError, StageFailed, UnsupportedOption, WeightsError
from serve_apps.wire import ChatRequest, LlmDone, LlmEvent, LlmUsage, Message, ModelCard

WARM_UP_TIMEOUT_S = 60.0
UNSEEDED = 2**32 - 1
"""CTranslate2's value for "seed from the system"."""
LONGEST_SANE_CONTEXT = 10_000_000
"""Hugging Face writes 1e30 where a tokenizer does not know its model's context."""


class CTranslate2Llm:
    """A Llama-family model, quantised, on `n_workers` threads that share its weights.

    A request with a seed and a temperature is exact: same request, same text, whatever runs beside
    it. CTranslate2 seeds a worker's random numbers once, at its first draw, so such a request gets a
    generator of its own: about 50 ms more to the first token, and the weights once more in memory
    while it runs. Greedy requests need no seed.
    """

    def __init__(self, args: LlmArgs) -> None:
        folder = ctranslate2_folder(args.model, args.precision)
        self._folder, self._args = folder, args
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._template = ChatTemplate.of_folder(folder)
        self._facts = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
        self._ends = _ends(folder, self._tokenizer, self._facts)
        self.n_workers = args.n_workers
        self.context_tokens = _context_tokens(args, self._facts)
        self.control_tokens = _control_tokens(self._tokenizer)
        self.card = _card(args, folder, self._facts, self.context_tokens)
        self._static_prompts = StaticPrompts(self._prompt)
        self._seeding = threading.Lock()
        self._generator = self._load(args.n_workers)
        self._threads = ThreadPoolExecutor(args.n_workers, "llm")
        # A generator that is still there when the interpreter ends aborts the process: its workers ask
        # for a GIL that has gone.
        atexit.register(self.close)

    async def stream_chat(self, request: ChatRequest) -> AsyncGenerator[LlmEvent, None]:
        """Yield deltas as the model makes them, then one LlmDone.

        Closing the iterator, or cancelling its consumer, stops the model at its next token and waits
        for that: one token (about 12 ms), or the rest of reading the prompt (about 1 ms a token).

        Raises:
            ContextOverflow, UnsupportedOption, StageFailed.
        """
        if request.json_schema is not None:
            raise UnsupportedOption(
                "The ctranslate2 engine cannot follow a JSON schema.",
                "Configure engine llama_cpp or vllm for the llm stage.",
            )
        async with aclosing(stream_from_thread(self._threads, partial(self._work, request))) as events:
            async for event in events:
                yield event

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of the templated prompt."""
        return len(self._prompt(messages))

    def text_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text by itself."""
        found = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(encoding) for encoding in found]

    def close(self) -> None:
        """Wait for the requests under way, then free the model."""
        atexit.unregister(self.close)
        self._threads.shutdown()
        del self._generator

    def _prompt(self, messages: Sequence[Message]) -> list[str]:
        text = self._template.render(messages)
        return self._tokenizer.encode(text, add_special_tokens=False).tokens

    def _work(self, request: ChatRequest, answer: Answer) -> LlmDone:
        """One request from messages to its last token, on a thread of its own."""
        prompt = self._prompt(request.messages)
        limit = answer_limit(
            prompt_tokens=len(prompt),
            max_tokens=request.max_tokens,
            default=self._args.max_tokens,
            context_tokens=self.context_tokens,
        )
        speaker = _Speaker(answer, TextStream(self._tokenizer, request.stop), self._ends)
        static, rest, keep = self._static_prompts.split(request, prompt)
        try:
            self._generator_for(request).generate_batch(
                [rest],
                static_prompt=static or None,
                cache_static_prompt=keep,
                max_length=limit,
                include_prompt_in_result=False,
                end_token=self._ends,
                callback=speaker.step,
                **_sampling(request),
            )
        except (RuntimeError, ValueError) as error:
            raise StageFailed("llm", f"CTranslate2 failed: {error}.", "Try again.") from error
        return speaker.done(len(prompt))

    def _generator_for(self, request: ChatRequest) -> ctranslate2.Generator:
        seeded = request.seed is not None and request.temperature > 0
        return self._load(1, seed=request.seed) if seeded else self._generator

    def _load(self, n_workers: int, seed: int | None = None) -> ctranslate2.Generator:
        """A generator whose every worker has drawn its first random number, and its memory."""
        options: dict[str, Any] = {
            "device": "cpu",
            "compute_type": self._args.precision,
            "intra_threads": self._args.n_threads,
            **self._args.engine_options,
        }
        generator = ctranslate2.Generator(
            str(self._folder), inter_threads=n_workers, max_queued_batches=-1, **options
        )
        with self._seeding:
            ctranslate2.set_random_seed(UNSEEDED if seed is None else seed % UNSEEDED)
            _warm_up(generator, n_workers, plain(self._facts["eos_token"]))
        return generator


class _Speaker:
    """Turns the tokens of one generation into text, on the worker's thread."""

    def __init__(self, answer: Answer, text: TextStream, ends: Sequence[int]) -> None:
        self._answer, self._text, self._ends = answer, text, frozenset(ends)
        self._ended = False

    def step(self, result: GenerationStepResult) -> bool:
        """Take one token; return True to stop the model."""
        self._answer.token()
        self._ended = result.token_id in self._ends
        if not self._ended:
            self._answer.send(self._text.push(result.token_id))
        return self._answer.cancelled or self._text.stopped

    def done(self, n_prompt_tokens: int) -> LlmDone:
        """Send what was held back, and sum up."""
        self._answer.send(self._text.flush())
        return LlmDone(
            finish_reason="stop" if self._ended or self._text.stopped else "length",
            usage=LlmUsage(prompt_tokens=n_prompt_tokens, completion_tokens=self._answer.n_tokens),
            timings=self._answer.timings(),
        )


def _sampling(request: ChatRequest) -> dict[str, float]:
    """CTranslate2 samples from the `sampling_topk` best tokens: 1 is greedy, 0 is all of them."""
    if request.temperature == 0:
        return {"sampling_topk": 1}
    return {
        "sampling_topk": 0,
        "sampling_topp": request.top_p,
        "sampling_temperature": request.temperature,
    }


def _warm_up(generator: ctranslate2.Generator, n_workers: int, token: str) -> None:
    """Let every worker make one token: each waits in its callback until all have one."""
    together = threading.Barrier(n_workers)

    def meet(_: GenerationStepResult) -> bool:
        together.wait(WARM_UP_TIMEOUT_S)
        return True

    jobs = [
        generator.generate_batch(
            [[token]],
            max_length=1,
            include_prompt_in_result=False,
            sampling_topk=0,
            asynchronous=True,
            callback=meet,
        )[0]
        for _ in range(n_workers)
    ]
    for job in jobs:
        job.result()


def _ends(folder: Path, tokenizer: Tokenizer, facts: dict[str, Any]) -> list[int]:
    generation = folder / "generation_config.json"
    chosen = json.loads(generation.read_text("utf-8")) if generation.is_file() else {}
    found: int | list[int] | None = chosen.get("eos_token_id") or tokenizer.token_to_id(
        plain(facts["eos_token"])
    )
    if found is None:
        raise WeightsError(
            f"{folder} does not say which token ends an answer.", "Add generation_config.json."
        )
    return [found] if isinstance(found, int) else found


def _control_tokens(tokenizer: Tokenizer) -> tuple[str, ...]:
    added = tokenizer.get_added_tokens_decoder().values()
    return tuple(token.content for token in added if token.special)


def _context_tokens(args: LlmArgs, facts: dict[str, Any]) -> int:
    """The configured context, or the model's own.

    Raises:
        ConfigError: it is unknown, or shorter than configured.
    """
    own = int(min(facts.get("model_max_length", LONGEST_SANE_CONTEXT), LONGEST_SANE_CONTEXT))
    if args.context_tokens == 0 and own == LONGEST_SANE_CONTEXT:
        raise ConfigError(f"The context of {args.model} is unknown.", "Set context_tokens in the llm args.")
    if args.context_tokens > own:
        raise ConfigError(
            f"The llm args ask for {args.context_tokens:,} tokens of context; {args.model} has {own:,}.",
            "Lower context_tokens, or leave it out.",
        )
    return args.context_tokens or own


def _card(args: LlmArgs, folder: Path, facts: dict[str, Any], context_tokens: int) -> ModelCard:
    entry = weights.catalogue().get(args.model)
    return ModelCard(
        stage="llm",
        engine="ctranslate2",
        model=entry.title if entry else facts.get("title") or Path(args.model).stem,
        size_bytes=(folder / "model.bin").stat().st_size,
        licence=entry.licence if entry else facts.get("licence") or "see the model's own card",
        source=entry.source if entry else args.model,
        details={
            "precision": args.precision,
            "workers": str(args.n_workers),
            "threads per worker": str(args.n_threads),
            "context": f"{context_tokens:,} tokens",
        },
    )
