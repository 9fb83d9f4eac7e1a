"""Our args and requests in vLLM's words, as plain values."""

from __future__ import annotations

from typing import Any

from serve_apps import weights
from serve_apps.args import LlmArgs
from serve_apps.wire import ChatRequest

DTYPES = frozenset({"auto", "half", "float16", "bfloat16", "float", "float32"})


def engine_options(args: LlmArgs) -> dict[str, Any]:
    """Keyword arguments of vllm.AsyncEngineArgs.

    `precision` is a dtype, or else the name of a quantisation (`fp8`, `awq`, …); left out, the model's own.
    """
    options: dict[str, Any] = {
        "model": str(weights.locate(args.model) or args.model),
        "max_num_seqs": args.n_workers,
        "enable_prefix_caching": True,
    }
    if args.context_tokens:
        options["max_model_len"] = args.context_tokens
    if "precision" in args.model_fields_set:
        options["dtype" if args.precision in DTYPES else "quantization"] = args.precision
    return options | args.engine_options


def sampling_options(request: ChatRequest, max_tokens: int) -> dict[str, Any]:
    """Keyword arguments of vllm.SamplingParams, but for the JSON schema."""
    return {
        "max_tokens": max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stop": list(request.stop),
        "seed": request.seed,
    }
