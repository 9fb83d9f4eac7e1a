"""Pages, API and conductors in one replica: the whole front of a Raydio on one machine."""

# No `from __future__ import annotations`: Serve checks `args:` only against an annotation that is a class.

from dataclasses import replace

from fastapi import FastAPI
from ray.serve import Application
from starlette.responses import RedirectResponse

from serve_apps.args import FrontArgs
from serve_apps.chat import ChatConductor
from serve_apps.clients import over_handles
from serve_apps.contracts import Clients
from serve_apps.conversations import ConversationsConductor
from serve_apps.gradio_ingress import mount, page_path
from serve_apps.ingest import IngestConductor
from serve_apps.ingress import application
from serve_apps.retrieval import Retriever
from serve_apps.voice import VoiceConductor


def app(args: FrontArgs) -> Application:
    """The `front` application, mounted at `/`."""
    return application("front", lambda: build(args, with_conductors(args, over_handles())))


def with_conductors(args: FrontArgs, clients: Clients) -> Clients:
    """`clients` with the conductors in this process instead of behind handles."""
    retriever = Retriever(clients.embeddings, clients.knowledge, clients.reranker, args.conductor.retrieval)
    chat = ChatConductor(clients.llm, args.conductor, retriever)
    return replace(
        clients,
        chat=chat,
        voice=VoiceConductor(clients.stt, chat, clients.tts, args.conductor),
        ingest=IngestConductor(clients.stt, clients.embeddings, clients.knowledge, args.ingest),
        conversations=ConversationsConductor(chat, args.conversations, llm=clients.llm),
    )


def build(args: FrontArgs, clients: Clients) -> FastAPI:
    """Every page and every door in one ASGI app; `/` leads to the home page.

    Doors are imported here and not above: the process that deploys needs none of them.
    """
    from serve_apps.doors import routes  # noqa: PLC0415
    from serve_apps.seed_door import SeedDoor  # noqa: PLC0415

    front = FastAPI(openapi_url=None)
    front.router.routes.extend(routes("/v1", clients, args.realtime, args.conductor.retrieval))
    front.router.routes.extend(SeedDoor(clients.chat).routes("/chat"))
    # Longer paths first: the home page's mount at /ui would swallow the others.
    for page in sorted(args.pages, key=lambda page: page == "home"):
        mount(front, page, clients, page_path(page))
    front.add_route("/", lambda _: RedirectResponse("/ui/"))
    return front
