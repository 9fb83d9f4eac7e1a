"""The floor of row 2 on the real engine: the same engine class in a process of its own, called directly.

`python -m benchmarks.servers.engine_loop`; then a line `N_STREAMS N_TOKENS` on stdin is answered with a line
of tokens a second on stdout.
"""

from __future__ import annotations

import asyncio
import sys
import time

from benchmarks.openai_client import PROMPT
from serve_apps.args import LlmArgs
from serve_apps.contracts import LlmEngine
from serve_apps.engines import engine_class
from serve_apps.wire import ChatRequest, LlmDone, Message


async def _one(engine: LlmEngine, n_tokens: int) -> int:
    messages = (Message(role="user", content=PROMPT),)
    request = ChatRequest(messages=messages, max_tokens=n_tokens, temperature=0)
    async for event in engine.stream_chat(request):
        if isinstance(event, LlmDone):
            return event.usage.completion_tokens
    return 0


async def _rate(engine: LlmEngine, n_streams: int, n_tokens: int) -> float:
    started = time.perf_counter()
    counts = await asyncio.gather(*(_one(engine, n_tokens) for _ in range(n_streams)))
    return sum(counts) / (time.perf_counter() - started)


async def main() -> None:
    args = LlmArgs()
    engine: LlmEngine = engine_class("llm", args.engine)(args)
    write = sys.stdout.write
    write("ready\n")
    sys.stdout.flush()
    while line := await asyncio.to_thread(sys.stdin.readline):
        n_streams, n_tokens = map(int, line.split())
        write(f"{await _rate(engine, n_streams, n_tokens)}\n")
        sys.stdout.flush()
    engine.close()


if __name__ == "__main__":
    asyncio.run(main())
