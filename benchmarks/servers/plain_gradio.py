"""The floor of rows 4, 5 and 11: Gradio's own chat page around the mock engine, in one process, no checks.

`python -m benchmarks.servers.plain_gradio PORT`
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from benchmarks.mock_engine import MockLlm
from serve_apps.args import LlmArgs
from serve_apps.wire import ChatRequest, LlmDelta, Message

ENGINE = MockLlm(LlmArgs(engine="mock", max_tokens=16))


async def answer(message: str, history: list[Any]) -> AsyncIterator[str]:
    del history
    text = ""
    async for event in ENGINE.stream_chat(ChatRequest(messages=(Message(role="user", content=message),))):
        if isinstance(event, LlmDelta):
            text += event.text
            yield text


if __name__ == "__main__":
    page = gr.ChatInterface(answer, concurrency_limit=None, analytics_enabled=False)
    page.launch(server_name="127.0.0.1", server_port=int(sys.argv[1]), quiet=True, run_history=False)
