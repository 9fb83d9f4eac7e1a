"""Engines whose life can be watched from another process: each event is a line in a file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path

from serve_apps.args import LlmArgs
from serve_apps.errors import StageFailed
from serve_apps.wire import ChatRequest, LlmDelta, LlmEvent
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
