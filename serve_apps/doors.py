"""Everything under `/v1`: the OpenAI API, live sessions, documents and conversations."""

from __future__ import annotations

from starlette.routing import BaseRoute

from serve_apps.api import Api
from serve_apps.args import RealtimeArgs, RetrievalArgs
from serve_apps.contracts import Clients
from serve_apps.conversations_door import ConversationsDoor
from serve_apps.document_view import DocumentView
from serve_apps.knowledge_door import KnowledgeDoor
from serve_apps.realtime.door import Realtime


def routes(
    prefix: str, clients: Clients, realtime: RealtimeArgs, retrieval: RetrievalArgs
) -> list[BaseRoute]:
    """The routes under `prefix`: `/v1`, or nothing where Serve's route prefix is that already."""
    return [
        *Api(clients).routes(prefix),
        *Realtime(clients, realtime).routes(prefix),
        *DocumentView(clients).routes(prefix),
        *KnowledgeDoor(clients, retrieval).routes(prefix),
        *ConversationsDoor(clients.conversations).routes(prefix),
    ]
