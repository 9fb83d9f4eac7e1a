"""Language models through vLLM: continuous batching, prefix caching and JSON schemas, on a GPU."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from vllm import AsyncEngineArgs, SamplingParams
from vllm.exceptions import VLLMValidationError
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

from serve_apps import weights
from serve_apps.args import LlmArgs
from serve_apps.engines.answer import TokenClock
from serve_apps.engines.context import answer_limit
from serve_apps.engines.vllm_options import engine_options, sampling_options
from serve_apps.errors import InputError, StageFailed
from serve_apps.wire import ChatRequest, LlmDelta, LlmDone, LlmEvent, LlmUsage, Message, ModelCard


class VllmLlm:
    """A Hugging Face model on vLLM's engine, which runs in a process of its own.

    `n_workers` is vLLM's `max_num_seqs`, the requests decoded as one batch. `engine_options` are
    fields of vllm.AsyncEngineArgs, for example `tensor_parallel_size` or `gpu_memory_utilization`.

    Source: vllm.v1.engine.async_llm.AsyncLLM, 0.29 to 0.32.
    """

    def __init__(self, args: LlmArgs) -> None:
        self._engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**engine_options(args)))
        self._tokenizer = self._engine.tokenizer
        self._default_tokens = args.max_tokens
        self.control_tokens = tuple(self._tokenizer.all_special_tokens)
        self.n_workers = args.n_workers
        self.context_tokens: int = self._engine.model_config.max_model_len
        self.card = _card(args, str(self._engine.model_config.dtype), self.context_tokens)

    async def stream_chat(self, request: ChatRequest) -> AsyncGenerator[LlmEvent, None]:
        """Yield deltas as the model makes them, then one LlmDone.

        Closing the iterator, or cancelling its consumer, aborts the request in vLLM.

        Raises:
            ContextOverflow, StageFailed; InputError for a JSON schema that vLLM cannot follow.
        """
        clock = TokenClock()
        prompt = await asyncio.to_thread(self._prompt, request.messages)
        params = self._sampling(request, len(prompt))
        try:
            outputs = self._engine.generate({"prompt_token_ids": prompt}, params, uuid.uuid4().hex)
            async with aclosing(outputs):
                async for output in outputs:
                    for event in _events(output, clock):
                        yield event
        except (ValueError, VLLMValidationError) as error:
            raise InputError(f"vLLM refuses the request: {error}.", "Check its options.") from error
        except (EngineDeadError, EngineGenerateError) as error:
            raise StageFailed("llm", f"vLLM failed: {error}.", "Try again.") from error

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of the templated prompt."""
        return len(self._prompt(messages))

    def text_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text by itself."""
        return [len(self._tokenizer.encode(text, add_special_tokens=False)) for text in texts]

    def close(self) -> None:
        """End vLLM's process and free the GPU."""
        self._engine.shutdown()

    def _prompt(self, messages: Sequence[Message]) -> list[int]:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        text = self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return tokens

    def _sampling(self, request: ChatRequest, n_prompt_tokens: int) -> SamplingParams:
        limit = answer_limit(
            prompt_tokens=n_prompt_tokens,
            max_tokens=request.max_tokens,
            default=self._default_tokens,
            context_tokens=self.context_tokens,
        )
        schema = request.json_schema
        return SamplingParams(
            **sampling_options(request, limit),
            structured_outputs=None if schema is None else StructuredOutputsParams(json=schema),
            output_kind=RequestOutputKind.DELTA,
        )


def _events(output: Any, clock: TokenClock) -> list[LlmEvent]:
    """What one RequestOutput says: the new text, and the end.

    Raises:
        StageFailed: vLLM gave the request up.
    """
    completion = output.outputs[0]
    clock.token(len(completion.token_ids))
    events: list[LlmEvent] = []
    if completion.text:
        events.append(LlmDelta(text=completion.text, n_tokens=len(completion.token_ids)))
    if completion.finish_reason in {"stop", "length"}:
        usage = LlmUsage(
            prompt_tokens=len(output.prompt_token_ids),
            completion_tokens=clock.n_tokens,
            cached_tokens=output.num_cached_tokens or 0,
        )
        events.append(LlmDone(finish_reason=completion.finish_reason, usage=usage, timings=clock.timings()))
    elif completion.finish_reason is not None:
        raise StageFailed("llm", f"vLLM ended the answer: {completion.finish_reason}.", "Try again.")
    return events


def _card(args: LlmArgs, dtype: str, context_tokens: int) -> ModelCard:
    path = weights.locate(args.model)
    files = path.glob("*.safetensors") if path and path.is_dir() else ()
    return ModelCard(
        stage="llm",
        engine="vllm",
        model=Path(args.model).name,
        size_bytes=sum(file.stat().st_size for file in files),
        licence="see the model's own card",
        source=args.model,
        details={
            "precision": dtype.removeprefix("torch."),
            "batch": f"{args.n_workers} requests",
            "context": f"{context_tokens:,} tokens",
        },
    )
