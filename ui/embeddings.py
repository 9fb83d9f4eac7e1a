"""Embeddings: look into collections of documents, or paste lines and see which mean the same."""

from __future__ import annotations

import gradio as gr
from gradio.events import api

from serve_apps.contracts import Clients
from ui import shell
from ui.collections_tab import collections_tab
from ui.explorer import N_AT_ONCE, search, similarity
from ui.lines import LineVectors
from ui.lines_tab import lines_tab
from ui.playground import collection_search

LEAD = "See what a search finds in your documents and why, and what lies close to what."
STAGES = ["embeddings", "knowledge", "reranker"]


def build(clients: Clients) -> gr.Blocks:
    """The embeddings page."""
    vectors = LineVectors(clients.embeddings)
    with shell.page("embeddings", "Embeddings", clients, STAGES, lead=LEAD) as blocks:
        _endpoints(clients, vectors)  # first: Gradio gives a name to whichever handler claims it first
        with gr.Tabs(elem_classes="ray-modes"):
            with gr.Tab("Collections", id="collections"):
                opened = collections_tab(clients)
            with gr.Tab("Lines", id="lines"):
                lines_tab(clients, vectors)
        opened(blocks)
    return blocks


def _endpoints(clients: Clients, vectors: LineVectors) -> None:
    """What programs may call by name."""
    functions = {
        "similarity": similarity(vectors),
        "search": search(clients, vectors),
        "collection_search": collection_search(clients),
    }
    for name, function in functions.items():
        api(function, api_name=name, concurrency_limit=N_AT_ONCE, concurrency_id="embeddings")
