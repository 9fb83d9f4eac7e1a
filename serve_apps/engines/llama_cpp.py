"""Any GGUF model through llama.cpp: continuous batching, a prompt cache, JSON schemas followed."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import xllamacpp
from gguf import GGUFReader, TokenType

from serve_apps import weights
from serve_apps.args import LlmArgs
from serve_apps.engines.answer import Answer, stream_from_thread
from serve_apps.engines.context import answer_limit
from serve_apps.errors import (
    ConfigError,
    ContextOverflow,
    InputError,
    RaydioError,
    StageFailed,
    WeightsError,
)
from serve_apps.wire import ChatRequest, LlmDone, LlmEvent, LlmUsage, Message, ModelCard

COUNT_TIMEOUT_S = 30.0


class LlamaCppLlm:
    """A GGUF model on `n_workers` slots that decode as one batch.

    Memory for `context_tokens` of every slot is taken at the start, so that no request fails because
    of its neighbours: with one context shared by all, llama.cpp ends every answer when it is full.
    Set `context_tokens` for models with a long one. `engine_options` are fields of
    xllamacpp.CommonParams, for example `n_gpu_layers`.

    Source: xllamacpp 2026.10; the requests are those of llama.cpp's server.
    """

    def __init__(self, args: LlmArgs) -> None:
        path = _gguf(args.model)
        self.n_workers = args.n_workers
        own_context, self.control_tokens = _facts(path)
        self.context_tokens = args.context_tokens or own_context
        self._default_tokens = args.max_tokens
        self._key = secrets.token_urlsafe(32)
        self._server = self._start(path, args)
        self._address = urlsplit(self._server.listening_address).netloc
        self._threads = ThreadPoolExecutor(args.n_workers, "llm")
        self.card = _card(args, path, self.context_tokens)

    async def stream_chat(self, request: ChatRequest) -> AsyncGenerator[LlmEvent, None]:
        """Yield deltas as the model makes them, then one LlmDone.

        Closing the iterator, or cancelling its consumer, stops the model at its next token.

        Raises:
            ContextOverflow, StageFailed; InputError for a JSON schema that llama.cpp cannot follow.
        """
        async with aclosing(stream_from_thread(self._threads, partial(self._work, request))) as events:
            async for event in events:
                yield event

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of the templated prompt, counted by llama.cpp itself."""
        found = self._asked("/v1/chat/completions/input_tokens", {"messages": _plain(messages)})
        return int(found["input_tokens"])

    def text_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text by itself."""
        asked = ({"content": text, "add_special": False} for text in texts)
        return [len(self._asked("/tokenize", body)["tokens"]) for body in asked]

    def close(self) -> None:
        """Wait for the requests under way, then free the model."""
        self._threads.shutdown()
        del self._server

    def _asked(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What llama.cpp's own server answers."""
        with closing(HTTPConnection(self._address, timeout=COUNT_TIMEOUT_S)) as connection:
            headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
            connection.request("POST", path, json.dumps(body), headers)
            found: dict[str, Any] = json.loads(connection.getresponse().read())
        if "error" in found:
            raise _translated(found["error"])
        return found

    def _start(self, path: Path, args: LlmArgs) -> xllamacpp.Server:
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.model_alias = path.stem
        params.n_parallel = args.n_workers
        params.n_ctx = self.context_tokens * args.n_workers
        params.kv_unified = False
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = args.n_threads
        params.verbosity = -1
        # A server listens on loopback whether or not anybody asks for it: without a key, and with
        # every origin allowed, any page in the user's browser could use it.
        params.ui = False
        params.api_keys = [self._key]
        for name, value in args.engine_options.items():
            if not hasattr(params, name):
                raise ConfigError(f"llama.cpp has no option {name!r}.", "See xllamacpp.CommonParams.")
            setattr(params, name, value)
        try:
            return xllamacpp.Server(params)
        except RuntimeError as error:
            raise WeightsError(f"llama.cpp cannot load {path.name}: {error}.", "Check the file.") from error

    def _work(self, request: ChatRequest, answer: Answer) -> LlmDone:
        """One request, on a thread of its own."""
        limit = answer_limit(
            prompt_tokens=self.count_tokens(request.messages),
            max_tokens=request.max_tokens,
            default=self._default_tokens,
            context_tokens=self.context_tokens,
        )
        speaker = _Speaker(answer)
        try:
            failed = self._server.handle_chat_completions(_body(request, limit), speaker.chunk)
        except ValueError as error:
            raise InputError(f"llama.cpp refuses the request: {error}.", "Check the JSON schema.") from error
        return speaker.done(failed)


class _Speaker:
    """Takes the chunks of one completion, on the request's thread."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._last: dict[str, Any] = {}
        self._finish_reason = "length"

    def chunk(self, chunk: dict[str, Any]) -> bool:
        """Take one chunk; return True to stop the model."""
        self._last = chunk
        for choice in chunk.get("choices", ()):
            if text := choice["delta"].get("content"):
                self._answer.token(chunk["timings"]["predicted_n"] - self._answer.n_tokens)
                self._answer.send(text)
            self._finish_reason = choice["finish_reason"] or self._finish_reason
        return self._answer.cancelled

    def done(self, returned: dict[str, Any] | None) -> LlmDone:
        """Sum up; an error arrives as a chunk or as the call's result, never as an exception."""
        if error := (returned or self._last).get("error"):
            raise _translated(error)
        usage = self._last.get("usage", {})
        return LlmDone(
            finish_reason="stop" if self._finish_reason == "stop" else "length",
            usage=LlmUsage(
                prompt_tokens=usage.get("prompt_tokens", 0),
                completion_tokens=usage.get("completion_tokens", self._answer.n_tokens),
                cached_tokens=usage.get("prompt_tokens_details", {}).get("cached_tokens", 0),
            ),
            timings=self._answer.timings(),
        )


def _body(request: ChatRequest, max_tokens: int) -> dict[str, Any]:
    """The request as llama.cpp's server reads it, with its own taste in sampling turned off."""
    body: dict[str, Any] = {
        "messages": _plain(request.messages),
        "max_tokens": max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": 0,
        "min_p": 0.0,
        "stop": list(request.stop),
        "stream": True,
        "stream_options": {"include_usage": True},
        "timings_per_token": True,
    }
    if request.seed is not None:
        body["seed"] = request.seed
    if request.json_schema is not None:
        schema = {"name": "answer", "schema": request.json_schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def _plain(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _translated(error: dict[str, Any]) -> RaydioError:
    """An error of llama.cpp's server as one of ours."""
    message = str(error.get("message", error))
    if error.get("type") == "exceed_context_size_error":
        return ContextOverflow(
            f"The prompt has {error['n_prompt_tokens']:,} tokens; the context holds {error['n_ctx']:,}.",
            "Shorten the conversation or its documents.",
        )
    if error.get("type") == "invalid_request_error":
        return InputError(f"llama.cpp refuses the request: {message}.", "Check its options.")
    return StageFailed("llm", f"llama.cpp failed: {message}.", "Try again.")


def _gguf(model: str) -> Path:
    path = weights.locate(model)
    files = sorted(path.glob("*.gguf")) if path and path.is_dir() else [path] if path else []
    if len(files) != 1:
        raise ConfigError(
            f"{model!r} is not one GGUF file.",
            f"Give the path of one, or one of {', '.join(weights.catalogue())}.",
        )
    return files[0]


def _facts(path: Path) -> tuple[int, tuple[str, ...]]:
    """The model's own context in tokens, and its control tokens."""
    try:
        fields = GGUFReader(path).fields
        architecture = fields["general.architecture"].contents()
        types = enumerate(fields["tokenizer.ggml.token_type"].contents())
        tokens = fields["tokenizer.ggml.tokens"]
        control = tuple(tokens.contents(place) for place, kind in types if kind == TokenType.CONTROL)
        return int(fields[f"{architecture}.context_length"].contents()), control
    except (ValueError, IndexError, KeyError, OSError) as error:
        raise WeightsError(f"{path.name} is not a readable GGUF file: {error}.", "Get it again.") from error


def _card(args: LlmArgs, path: Path, context_tokens: int) -> ModelCard:
    entry = weights.catalogue().get(args.model)
    return ModelCard(
        stage="llm",
        engine="llama_cpp",
        model=entry.title if entry else path.stem,
        size_bytes=path.stat().st_size,
        licence=entry.licence if entry else "see the model's own card",
        source=entry.source if entry else args.model,
        details={
            "format": "GGUF",
            "workers": str(args.n_workers),
            "threads": str(args.n_threads),
            "context": f"{context_tokens:,} tokens",
        },
    )
