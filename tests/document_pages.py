"""Pages over real documents: knowledge stage and conductors in this process, on a model that quotes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from serve_apps.args import ConductorArgs, IngestArgs
from serve_apps.chat import ChatConductor
from serve_apps.contracts import Clients
from serve_apps.ingest import IngestConductor
from serve_apps.retrieval import Retriever
from serve_apps.settings import settings
from serve_apps.wire import ChatRequest, LlmDelta, LlmDone, LlmEvent, LlmTimings, LlmUsage
from tests.conversations import made_conversations
from tests.fake_clients import FakeEmbeddings, FakeLlm, FakeReranker, FakeStt, fake_clients
from tests.knowledge import made_knowledge

_PASSAGE = re.compile(r'<passage number="1" from="[^"]*">\n(.*?)\n</passage>', re.DOTALL)


class QuotingLlm(FakeLlm):
    """Says the first sentence of the first passage, with its number; "I do not know." without one."""

    async def stream_chat(self, request: ChatRequest) -> AsyncIterator[LlmEvent]:
        self.requests.append(request)
        found = _PASSAGE.search("\n".join(message.content for message in request.messages))
        sentence = f"{found[1].split('. ')[0].strip().rstrip('.')} [1]." if found else "I do not know."
        words = re.findall(r"\s*\S+", sentence)
        for word in words:
            yield LlmDelta(text=word, n_tokens=1)
        yield LlmDone(
            finish_reason="stop",
            usage=LlmUsage(prompt_tokens=10, completion_tokens=len(words)),
            timings=LlmTimings(queue_ms=0, first_token_ms=40, total_ms=100, tokens_per_s=50),
        )


@contextmanager
def library(folder: Path, **replaced: Any) -> Iterator[Clients]:
    """Every client: documents are really read, stored and found, in `folder`; models are fakes."""
    with pytest.MonkeyPatch.context() as patch:  # a module's fixtures come before the test's own home
        patch.setenv("RAYDIO_HOME", str(folder))
        settings.cache_clear()
        knowledge = made_knowledge(folder)
    models: dict[str, Any] = {
        "llm": QuotingLlm(),
        "stt": FakeStt(),
        "embeddings": FakeEmbeddings(),
        "reranker": FakeReranker(),
        "knowledge": knowledge,
        **replaced,
    }
    args = ConductorArgs()
    retriever = Retriever(models["embeddings"], models["knowledge"], models["reranker"], args.retrieval)
    chat = ChatConductor(models["llm"], args, retriever)
    ingest = IngestConductor(models["stt"], models["embeddings"], models["knowledge"], IngestArgs())
    conversations = made_conversations(folder, chat)
    try:
        yield fake_clients(**{"chat": chat, "ingest": ingest, "conversations": conversations, **models})
    finally:
        knowledge.close()
