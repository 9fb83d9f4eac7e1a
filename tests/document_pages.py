"""Pages over real documents: the knowledge stage and the ingest conductor in this process, on fake models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from serve_apps.args import IngestArgs
from serve_apps.contracts import Clients
from serve_apps.ingest import IngestConductor
from tests.fake_clients import FakeEmbeddings, FakeStt, fake_clients
from tests.knowledge import made_knowledge


@contextmanager
def library(folder: Path, **replaced: Any) -> Iterator[Clients]:
    """Every client: documents are really read, stored and found, in `folder`; models are fakes."""
    knowledge = made_knowledge(folder)
    parts = {"stt": FakeStt(), "embeddings": FakeEmbeddings(), "knowledge": knowledge, **replaced}
    ingest = IngestConductor(parts["stt"], parts["embeddings"], parts["knowledge"], IngestArgs())
    try:
        yield fake_clients(**{"ingest": ingest, **parts})
    finally:
        knowledge.close()
