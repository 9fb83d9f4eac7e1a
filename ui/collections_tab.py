"""The mode that looks into collections: laid out from top to bottom, and wired."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from serve_apps.contracts import Clients
from serve_apps.settings import ASSETS
from ui.collection_files import CHOICES, RESULT_CHOICES
from ui.collection_map import CollectionMap
from ui.comparison import compare
from ui.downloads import Downloads
from ui.explorer import N_AT_ONCE
from ui.library import Library
from ui.library_work import LibraryWork
from ui.model_comparison import HOW_TO, ModelComparison
from ui.playground import Playground
from ui.playground_controls import Controls, laid_out
from ui.scripts import scripted
from ui.why import why

__all__ = ["collections_tab"]

QUEUED: dict[str, Any] = {
    "show_progress": "hidden",
    "concurrency_limit": N_AT_ONCE,
    "concurrency_id": "embeddings",
    "api_visibility": "private",
}
ASIDE: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
CLICK_FILE = "() => document.querySelector('#ray-collection-file').click()"


@dataclass(frozen=True, slots=True)
class _Top:
    """Which collections, and what can be done to them."""

    collections: gr.Dropdown
    facts: gr.HTML
    sample: gr.Button
    again: gr.Button
    stop: gr.Button
    progress: gr.HTML


def collections_tab(clients: Clients) -> Callable[[gr.Blocks], None]:
    """Lay the mode out, inside the tab that is open; returns what fills it when the page opens."""
    top = _top()
    with gr.Column(visible=False) as below:
        controls = laid_out(top.collections)
        progress = _html()
        columns = _board(clients, main=True)
        _map(clients, top.collections)
        _comparison(clients)
        fill_models = _models(clients, controls)
        _download(clients, controls)
    playground = Playground(clients, controls)
    shown = [progress, columns]
    controls.query.submit(playground.search, controls.widgets(), shown, **QUEUED)
    for changed in controls.changes():
        changed(playground.again, controls.widgets(), shown, **QUEUED)
    outputs = [
        top.collections,
        top.facts,
        controls.documents,
        controls.kinds,
        controls.tags,
        top.again,
        top.sample,
        below,
    ]
    library = Library(clients)
    _wire_top(clients, top, library, outputs)

    def opened(blocks: gr.Blocks) -> None:
        blocks.load(library.opened, None, outputs, **QUEUED)
        fill_models(blocks)

    return opened


def _top() -> _Top:
    with gr.Row(equal_height=True, elem_classes="ray-library-row"):
        collections = gr.Dropdown(
            [],
            multiselect=True,
            label="Collections",
            info="None: all that you may read",
            scale=4,
            min_width=240,
            visible=False,
            elem_id="ray-collections",
        )
        again = gr.Button("Index again", visible=False, scale=1, min_width=140)
        stop = gr.Button("Stop", visible=False, scale=0, min_width=80)
    progress = _html()
    facts = _html()
    sample = gr.Button(
        "Add the sample documents", variant="primary", visible=False, elem_classes="ray-add-sample"
    )
    return _Top(collections, facts, sample, again, stop, progress)


def _wire_top(clients: Clients, top: _Top, library: Library, outputs: list[Any]) -> None:
    work = LibraryWork(clients, library)
    told = [top.progress, top.stop]
    top.collections.input(library.changed, top.collections, outputs, **QUEUED)
    top.sample.click(work.add_sample, None, told, **QUEUED).then(library.opened, None, outputs, **QUEUED)
    top.again.click(work.index_again, top.collections, told, **QUEUED).then(
        library.changed, top.collections, outputs, **QUEUED
    )
    top.stop.click(work.stop, None, None, **ASIDE)


def _map(clients: Clients, collections: gr.Dropdown) -> None:
    drawn = CollectionMap(clients)
    with gr.Row(equal_height=True, elem_classes="ray-map-row"):
        draw = gr.Button("Show the map", scale=0, min_width=150, elem_id="ray-draw")
        stop = gr.Button("Stop", interactive=False, scale=0, min_width=80)
        progress = _html()
    chart = gr.HTML(
        None,
        html_template=(ASSETS / "embeddings_space.html").read_text(),
        apply_default_css=False,
        **_script("space", "space_hands", "space_data"),
    )
    draw.click(drawn.draw, collections, [progress, stop, chart], **QUEUED)
    stop.click(drawn.stop, None, None, **ASIDE)


def _comparison(clients: Clients) -> None:
    gr.HTML(
        None,
        html_template=(ASSETS / "embeddings_comparison.html").read_text() + _heat("As chosen"),
        server_functions=[compare(clients)],
        apply_default_css=False,
        **_script("heat", "comparison"),
    )


def _models(clients: Clients, controls: Controls) -> Callable[[gr.Blocks], None]:
    models = ModelComparison(clients, controls)
    how_to = gr.HTML(HOW_TO, visible=False, js_on_load=None, apply_default_css=False)
    with gr.Accordion("Two embedding models", open=False, visible=False) as several:
        with gr.Row(equal_height=True):
            first = gr.Dropdown([], label="One", min_width=150)
            second = gr.Dropdown([], label="The other", min_width=150)
            ask = gr.Button("Compare the models", scale=0, min_width=180)
        progress = _html()
        board = _board(clients, main=False)
        with gr.Row():
            heats = [_small_heat() for _ in range(2)]
    ask.click(
        models.compare(first, second),
        controls.widgets() | {first, second},
        [progress, board, *heats],
        **QUEUED,
    )

    def fill(blocks: gr.Blocks) -> None:
        blocks.load(models.opened, None, [how_to, several, first, second], **ASIDE)

    return fill


def _download(clients: Clients, controls: Controls) -> None:
    downloads = Downloads(clients, controls)
    with gr.Accordion("Download", open=False):
        with gr.Row(elem_classes="ray-save"):
            choices = [*CHOICES, *RESULT_CHOICES]
            choice = gr.Dropdown(choices, value=choices[0], label="What", scale=3, min_width=180)
            save = gr.Button("Download", scale=1, min_width=120, elem_id="ray-save-collection")
            stop = gr.Button("Stop", interactive=False, scale=0, min_width=80)
        progress = _html()
        file = gr.DownloadButton(visible="hidden", elem_id="ray-collection-file")
    inputs = controls.widgets() | {choice}
    save.click(downloads.save(choice), inputs, [progress, stop, file], **QUEUED).success(None, js=CLICK_FILE)
    stop.click(downloads.stop, None, None, **ASIDE)


def _html() -> gr.HTML:
    return gr.HTML("", js_on_load=None, apply_default_css=False)


def _board(clients: Clients, *, main: bool) -> gr.HTML:
    """Columns; the main ones tell the map what was found, and explain its points."""
    return gr.HTML(
        "",
        server_functions=[why(clients)],
        apply_default_css=False,
        main=main,
        **_script("columns"),
    )


def _small_heat() -> gr.HTML:
    """One of two side by side; on a phone one stands below the other."""
    with gr.Column(min_width=260):
        return gr.HTML(None, html_template=_heat("As found"), apply_default_css=False, **_script("heat"))


def _heat(given: str) -> str:
    return (ASSETS / "embeddings_heat.html").read_text().replace("As pasted", given)


def _script(*names: str) -> dict[str, Any]:
    """Scripts of one component, which share their names."""
    return scripted(*(f"embeddings_{name}.js" for name in names))
