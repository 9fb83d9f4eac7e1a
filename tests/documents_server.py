"""The documents' door with its token on a real port, over a knowledge stage of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from fastapi import FastAPI
from starlette.types import ASGIApp

from serve_apps.args import IngestArgs
from serve_apps.ingest import IngestConductor
from serve_apps.ingestion.web_addresses import AddressRules
from serve_apps.ingress import behind_door
from serve_apps.knowledge import KnowledgeStage
from serve_apps.knowledge_door import KnowledgeDoor
from tests.fake_clients import FakeEmbeddings, fake_clients
from tests.knowledge import made_knowledge
from tests.ui_server import served_app


async def nobody(_host: str, _port: int) -> list[str]:
    """No names: tests stay on this machine."""
    raise OSError("Name or service not known")


@contextmanager
def documents_served(folder: Path, embeddings: FakeEmbeddings) -> Iterator[str]:
    """Serve it with its catalogue in `folder`; yields `http://127.0.0.1:<port>`."""
    knowledge: list[KnowledgeStage] = []

    def build() -> ASGIApp:
        knowledge.append(made_knowledge(folder))
        clients = fake_clients(knowledge=knowledge[0], embeddings=embeddings)
        rules = AddressRules(resolver=nobody)
        ingest = IngestConductor(clients.stt, embeddings, knowledge[0], IngestArgs(), rules=rules)
        made = FastAPI()
        made.router.routes.extend(KnowledgeDoor(replace(clients, ingest=ingest)).routes("/v1"))
        return behind_door(made)

    with served_app(build) as address:  # type: ignore[arg-type]
        yield address
    knowledge[0].close()
