"""A language model that repeats the question: deterministic, instant, and it remembers how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from serve_apps.args import LlmArgs
from serve_apps.engines.context import answer_limit
from serve_apps.errors import StageFailed
from serve_apps.wire import ChatRequest, LlmDelta, LlmDone, LlmEvent, LlmTimings, LlmUsage, Message, ModelCard

TOKENS_PER_S = 1000.0


class EchoLlm:
    """Answers with the last message's words, one a token, over and over up to `max_tokens`.

    `engine_options` of the args: `n_repeats` (default 1), how often the message is said. A message
    that is exactly `fail` breaks the engine. For tests of cancelling, set `gate`: every token then
    takes one `release()` of it.
    """

    def __init__(self, args: LlmArgs) -> None:
        self.n_workers = args.n_workers
        self.control_tokens: tuple[str, ...] = ()
        self.context_tokens = args.context_tokens or 8192
        self._default = args.max_tokens
        self._n_repeats: int = args.engine_options.get("n_repeats", 1)
        self.gate: asyncio.Semaphore | None = None
        self.started: list[ChatRequest] = []
        self.finished: list[ChatRequest] = []
        self.stopped: list[ChatRequest] = []
        """Requests whose caller went away."""
        self.card = ModelCard(
            stage="llm",
            engine="echo",
            model="Echo",
            size_bytes=0,
            licence="Apache-2.0",
            source="tests/fake_engines/llm.py",
        )

    async def stream_chat(self, request: ChatRequest) -> AsyncGenerator[LlmEvent, None]:
        words = request.messages[-1].content.split(" ") * self._n_repeats
        n_prompt = self.count_tokens(request.messages)
        limit = answer_limit(
            prompt_tokens=n_prompt,
            max_tokens=request.max_tokens,
            default=self._default,
            context_tokens=self.context_tokens,
        )
        self.started.append(request)
        try:
            for index, word in enumerate(words[:limit]):
                await self._next_token()
                if word == "fail":
                    raise StageFailed("llm", "The echo engine was asked to fail.")
                yield LlmDelta(text=word if index == 0 else f" {word}", n_tokens=1)
        except (asyncio.CancelledError, GeneratorExit):
            self.stopped.append(request)
            raise
        self.finished.append(request)
        yield LlmDone(
            finish_reason="length" if len(words) > limit else "stop",
            usage=LlmUsage(prompt_tokens=n_prompt, completion_tokens=min(len(words), limit)),
            timings=LlmTimings(queue_ms=0.0, first_token_ms=1.0, total_ms=2.0, tokens_per_s=TOKENS_PER_S),
        )

    def count_tokens(self, messages: Sequence[Message]) -> int:
        return sum(len(message.content.split(" ")) for message in messages)

    def text_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split(" ")) for text in texts]

    def close(self) -> None:
        """Nothing to free."""

    async def _next_token(self) -> None:
        if self.gate is None:
            await asyncio.sleep(0)
        else:
            await self.gate.acquire()
