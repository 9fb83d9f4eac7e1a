"""The documents panel of the chat page: what there is, how it is added and deleted, and what an answer uses.

Uploads, lists and deletions go from the browser to the REST door (`/v1/collections`, `/v1/documents`): they
hold no slot of Gradio's queue, report progress as it happens, and end when the tab is closed. What the chat's
handler needs to know is the value of one component, `DocumentsPanel.drawer`.

Addresses preset it: `?mode=documents_first&collections=id1,id2&method=hybrid&rerank=1&n_passages=4`, and
`&min_score=0.3`.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from serve_apps.contracts import Clients
from serve_apps.settings import ASSETS, settings
from serve_apps.wire_knowledge import KnowledgeMode, Retrieval, SearchMethod
from ui import sources
from ui.scripts import scripted

MOST_COLLECTIONS = 50
MOST_PASSAGES = 20
_FOLDER = ASSETS / "documents"
_SAMPLES = ASSETS / "samples" / "documents"
_PARTS = ("parts", "api", "uploads", "list", "collections", "search", "panel")
_SCRIPT = [f"documents/{name}.js" for name in _PARTS]


@dataclass(frozen=True, slots=True)
class DocumentsPanel:
    """The panel's component that a chat's handler reads."""

    drawer: gr.HTML
    """Its value, set by its script: what is searched and how."""

    def inputs(self) -> set[Block]:
        """To be among a handler's inputs."""
        return {self.drawer}

    def retrieval(self, values: Mapping[Component, Any]) -> Retrieval | None:
        """How this turn uses documents; None when it does not, and then costs nothing."""
        return retrieval(values[self.drawer])


def panel(clients: Clients) -> DocumentsPanel:
    """The button and its drawer, and the viewer of passages.

    Everything that changes goes through the REST door, so that `clients` is asked for nothing.
    """
    del clients
    drawer = gr.HTML(
        None,
        html_template=(_FOLDER / "page.html").read_text(),
        apply_default_css=False,
        server_functions=[_samples()],
        limit_bytes=settings().max_upload_mb * 2**20,
        elem_classes="ray-docs-host",
        **scripted(*_SCRIPT),
    )
    sources.viewer()
    return DocumentsPanel(drawer)


def _samples() -> Callable[[Any], list[dict[str, str]]]:
    """The function that brings documents to try with."""

    # A function of its own for each component: Gradio marks it.
    def samples(_data: Any = None) -> list[dict[str, str]]:
        files = sorted(path for path in _SAMPLES.iterdir() if path.is_file() and path.suffix != ".py")
        return [{"name": f.name, "base64": base64.b64encode(f.read_bytes()).decode()} for f in files]

    return samples


def retrieval(choice: Any) -> Retrieval | None:
    """A turn's use of documents from what the panel's script says, which a browser may have changed."""
    if not isinstance(choice, dict):
        return None
    mode: Any = choice.get("mode")
    method: Any = choice.get("method", "hybrid")
    collections = tuple(str(id_) for id_ in choice.get("collections") or ())[:MOST_COLLECTIONS]
    known = mode in get_args(KnowledgeMode) and method in get_args(SearchMethod)
    if not known or not collections or mode == "no_documents":
        return None
    if mode == "documents_first" and not choice.get("n_documents"):
        return None  # whoever wants nothing but documents is told that there are none
    return Retrieval(
        mode=mode,
        collections=collections,
        method=method,
        rerank=bool(choice.get("rerank", True)),
        n_passages=_whole(choice.get("n_passages")),
        min_score=_number(choice.get("min_score")),
    )


def _whole(given: Any) -> int | None:
    number = _number(given)
    return None if number is None else max(1, min(MOST_PASSAGES, int(number)))


def _number(given: Any) -> float | None:
    number = isinstance(given, (int, float)) and not isinstance(given, bool) and math.isfinite(given)
    return float(given) if number else None
