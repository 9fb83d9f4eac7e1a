"""Engines whose life can be watched from another process: each event is a line in a file."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

from serve_apps.args import LlmArgs
from serve_apps.errors import StageFailed
from serve_apps.wire import ChatRequest, LlmDelta, LlmDone, LlmEvent, LlmTimings, LlmUsage
from tests.fake_engines.llm import EchoLlm


class WatchedLlm(EchoLlm):
    """Says one word every 20 ms, and writes `started`, `finished`, `stopped` into `engine_options["log"]`.

    `die` kills the replica before the first token, once a run of the test; `die late` after forty tokens.
    `finish …` ends after eight tokens. `think` takes five seconds before its first token.
    """

    def __init__(self, args: LlmArgs) -> None:
        super().__init__(args)
        self._log = Path(args.engine_options["log"])

    async def stream_chat(self, request: ChatRequest) -> AsyncGenerator[LlmEvent, None]:
        self._write("started")
        text = request.messages[-1].content
        if text == "die" and "died" not in self._log.read_text():
            self._write("died")
            os._exit(1)
        try:
            if text == "think":
                await asyncio.sleep(5)
            for n in range(request.max_tokens or (8 if text.startswith("finish") else 1000)):
                if text == "die late" and n == 40:
                    os._exit(1)
                if text == "break":
                    raise StageFailed("llm", "It was asked to break.")
                if text == "crash":
                    raise ZeroDivisionError
                yield LlmDelta(text=f"w{n} ", n_tokens=1)
                await asyncio.sleep(0.02)
        except (asyncio.CancelledError, GeneratorExit):
            self._write("stopped")
            raise
        async for event in super().stream_chat(request):
            if not isinstance(event, LlmDelta):
                yield event
        self._write("finished")

    def _write(self, event: str) -> None:
        with self._log.open("a") as log:
            log.write(event + "\n")


class ScriptedLlm(EchoLlm):
    """Answers from a script, word by word at the pace of a model; what it was asked and did is in a file.

    `engine_options`: `answers`, a text for messages that contain the key; `otherwise`, for all others;
    `words_per_s`; `log`, where each line is a JSON object with `event` (`started`, `finished`,
    `stopped`), `question`, `n_words` said so far and, when started, all `messages`.
    """

    def __init__(self, args: LlmArgs) -> None:
        super().__init__(args)
        options = args.engine_options
        self._answers: dict[str, str] = options["answers"]
        self._otherwise: str = options.get("otherwise", "I do not know that.")
        self._pause_s = 1.0 / options.get("words_per_s", 12.0)
        self._log = Path(options["log"])
        self.card = replace(self.card, engine="scripted", model="Scripted", source="tests/serve/engines.py")

    async def stream_chat(self, request: ChatRequest) -> AsyncGenerator[LlmEvent, None]:
        question = request.messages[-1].content
        answer = next((a for key, a in self._answers.items() if key in question), self._otherwise)
        told = [{"role": m.role, "content": m.content} for m in request.messages]
        self._write("started", question, 0, messages=told)
        n_words = 0
        try:
            for word in answer.split(" ")[: request.max_tokens]:
                yield LlmDelta(text=f" {word}" if n_words else word, n_tokens=1)
                n_words += 1
                await asyncio.sleep(self._pause_s)
        except (asyncio.CancelledError, GeneratorExit):
            self._write("stopped", question, n_words)
            raise
        self._write("finished", question, n_words)
        n_prompt = self.count_tokens(request.messages)
        tokens_per_s = 1 / self._pause_s
        yield LlmDone(
            finish_reason="stop",
            usage=LlmUsage(prompt_tokens=n_prompt, completion_tokens=n_words),
            timings=LlmTimings(
                queue_ms=0.0,
                first_token_ms=1.0,
                total_ms=1000 * n_words / tokens_per_s,
                tokens_per_s=tokens_per_s,
            ),
        )

    def _write(self, event: str, question: str, n_words: int, **more: Any) -> None:
        with self._log.open("a") as log:
            log.write(json.dumps({"event": event, "question": question, "n_words": n_words, **more}) + "\n")


def told(log: Path) -> list[dict[str, Any]]:
    """What a `ScriptedLlm` has written so far."""
    return [json.loads(line) for line in log.read_text().splitlines()]
