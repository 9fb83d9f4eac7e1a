"""Pages with fake clients on a real server in this process: for tests and for `scripts/preview.py`."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module

import gradio as gr
import uvicorn
from fastapi import FastAPI

from serve_apps.args import RealtimeArgs
from serve_apps.contracts import Clients
from serve_apps.conversations_door import ConversationsDoor
from serve_apps.document_view import DocumentView
from serve_apps.knowledge_door import KnowledgeDoor
from serve_apps.realtime.door import Realtime
from ui import shell, theme

READY_S = 30


def mount(app: FastAPI, clients: Clients, pages: Sequence[str]) -> None:
    """Mount pages as the product does, and the doors that their scripts call.

    Home comes last, because its path is a prefix of the others'.
    """
    app.router.routes.extend(Realtime(clients, RealtimeArgs()).routes("/v1"))
    app.router.routes.extend(ConversationsDoor(clients.conversations).routes("/v1"))
    if clients.knowledge is not None:
        app.router.routes.extend(DocumentView(clients).routes("/v1"))
        app.router.routes.extend(KnowledgeDoor(clients).routes("/v1"))
    for name in sorted(pages, key=lambda page: (page == "home", page)):
        gr.mount_gradio_app(
            app,
            import_module(f"ui.{name}").build(clients),
            path="/ui" if name == "home" else f"/ui/{name}",
            theme=theme.theme(),
            css=theme.css(),
            head=theme.head(),
            footer_links=[],
            run_history=False,
            show_error=False,
            enable_monitoring=False,
        )


class _Server(uvicorn.Server):
    """Says when it listens, so that nobody has to ask again and again."""

    def __init__(self, build: Callable[[], FastAPI]) -> None:
        # Built by the server's own thread, in its running loop: elsewhere Gradio makes loops it never closes.
        super().__init__(
            uvicorn.Config(build, factory=True, port=0, log_level="warning", timeout_graceful_shutdown=1)
        )
        self.listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @property
    def address(self) -> str:
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"


@contextmanager
def served(clients: Clients, *pages: str) -> Iterator[str]:
    """Serve pages (all of them by default) on a free port; yields `http://127.0.0.1:<port>`."""

    def build() -> FastAPI:
        app = FastAPI()
        mount(app, clients, pages or tuple(shell.PAGES))
        return app

    with served_app(build) as address:
        yield address


@contextmanager
def served_app(build: Callable[[], FastAPI]) -> Iterator[str]:
    """Serve what `build` makes; it is called in the server's loop, where Gradio wants to be set up."""
    server = _Server(build)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    if not server.listening.wait(READY_S):
        raise TimeoutError("The server did not start.")
    try:
        yield server.address
    finally:
        server.should_exit = True
        thread.join()
