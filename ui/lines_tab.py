"""Pasted lines: see which mean the same on a map and a heat map, search them by meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from serve_apps.contracts import Clients
from serve_apps.settings import ASSETS
from ui import exports
from ui.explorer import EXAMPLES, MOST_HITS, N_AT_ONCE, Explorer, example
from ui.lines import MAX_CHARACTERS, LineVectors
from ui.neighbours import CANDIDATES
from ui.scripts import scripted

__all__ = ["lines_tab"]

LEAD = (
    "Paste texts, one a line. Those that mean the same lie close together, "
    "and a question finds its answer without sharing a word with it."
)
# A larger paste is refused anyway: spare the upload, not the message.
CUT = f"(text, ...more) => [text.slice(0, {MAX_CHARACTERS + 1}), ...more]"


@dataclass(frozen=True, slots=True)
class Widgets:
    """What the handlers read and write."""

    text: gr.Textbox
    show: gr.Button
    stop: gr.Button
    progress: gr.HTML
    map: gr.HTML
    query: gr.Textbox
    k: gr.Dropdown
    rerank: gr.Checkbox
    hits: gr.HTML
    heat: gr.HTML
    shown_lines: gr.Textbox
    """Fingerprint of the lines in the charts."""
    choice: gr.Dropdown
    save: gr.Button
    file: gr.DownloadButton


def lines_tab(clients: Clients, vectors: LineVectors) -> None:
    """Lay the mode out, inside the tab that is open."""
    gr.HTML(f'<p class="ray-quiet">{LEAD}</p>', js_on_load=None, apply_default_css=False)
    examples, widgets = _lay_out()
    _wire(examples, widgets, Explorer(clients, vectors))


def _lay_out() -> tuple[dict[str, gr.Button], Widgets]:
    with gr.Row(equal_height=False, elem_classes="ray-explore"):
        with gr.Column(scale=4, min_width=280):
            text, show, stop, examples, progress = _paste()
        with gr.Column(scale=6, min_width=300):
            flat_map = _chart("map")
    query, k, rerank = _question()
    hits = gr.HTML("", apply_default_css=False, **scripted("embeddings_hits.js"))
    heat = _chart("heat")
    choice, save, file = _download()
    shown_lines = gr.Textbox(visible=False)
    return examples, Widgets(
        text,
        show,
        stop,
        progress,
        flat_map,
        query,
        k,
        rerank,
        hits,
        heat,
        shown_lines,
        choice,
        save,
        file,
    )


def _paste() -> tuple[gr.Textbox, gr.Button, gr.Button, dict[str, gr.Button], gr.HTML]:
    text = gr.Textbox(
        label="Lines",
        lines=14,
        max_lines=14,
        placeholder="One text a line: questions, titles, words\u2026",
        elem_id="ray-lines",
    )
    with gr.Row():
        show = gr.Button("Show the map", variant="primary", scale=3, min_width=120)
        stop = gr.Button("Stop", interactive=False, scale=1, min_width=80)
    progress = gr.HTML("", js_on_load=None, apply_default_css=False)
    with gr.Row(elem_classes="ray-try"):
        gr.HTML("<span>Try</span>", apply_default_css=False, **scripted("embeddings_lines.js"))
        examples = {name: gr.Button(name, size="sm", min_width=60) for name in EXAMPLES}
    return text, show, stop, examples, progress


def _question() -> tuple[gr.Textbox, gr.Dropdown, gr.Checkbox]:
    with gr.Row(equal_height=True, elem_classes="ray-search"):
        query = gr.Textbox(
            label="Search by meaning",
            placeholder="What are you looking for?",
            lines=1,
            max_lines=3,
            submit_btn="Search",
            scale=6,
            min_width=260,
            elem_id="ray-query",
        )
        k = gr.Dropdown([5, 10, 20, 50, MOST_HITS], value=10, label="Results", scale=1, min_width=110)
        rerank = gr.Checkbox(
            label="Rerank",
            info=f"Second look at the nearest {CANDIDATES}",
            scale=2,
            min_width=170,
        )
    return query, k, rerank


def _chart(name: str) -> gr.HTML:
    return gr.HTML(
        None,
        html_template=(ASSETS / f"embeddings_{name}.html").read_text(),
        apply_default_css=False,
        **scripted(f"embeddings_{name}.js"),
    )


def _download() -> tuple[gr.Dropdown, gr.Button, gr.DownloadButton]:
    with gr.Accordion("Download", open=False):
        with gr.Row(elem_classes="ray-save"):
            choice = gr.Dropdown(
                exports.CHOICES, value=exports.CHOICES[0], label="What", scale=3, min_width=180
            )
            save = gr.Button("Download", scale=1, min_width=120)
        file = gr.DownloadButton(visible="hidden", elem_id="ray-file")
    return choice, save, file


def _wire(examples: dict[str, gr.Button], w: Widgets, explorer: Explorer) -> None:
    charted = [w.progress, w.stop, w.map, w.heat, w.shown_lines]
    found = [w.hits, *charted]
    asked = [w.text, w.query, w.k, w.rerank, w.shown_lines]
    options: dict[str, Any] = {
        "show_progress": "hidden",
        "concurrency_limit": N_AT_ONCE,
        "concurrency_id": "embeddings",
        "api_visibility": "undocumented",
    }
    w.show.click(explorer.show, [w.text], charted, js=CUT, api_name="show", **options)
    w.query.submit(explorer.find, asked, found, js=CUT, api_name="find", **options)
    w.rerank.input(explorer.find_again, asked, found, js=CUT, api_name="rerank", **options)
    w.k.input(explorer.find_again, asked, found, js=CUT, api_name="results", **options)
    aside: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    for name, button in examples.items():
        filled = button.click(example(name), None, [w.text, w.query], **aside)
        filled.then(explorer.find, asked, found, api_name=f"example_{name.split()[0].lower()}", **options)
    w.stop.click(explorer.stop, None, None, **aside)
    w.save.click(
        explorer.save, [w.text, w.choice], [w.file, w.progress], js=CUT, api_name="save", **options
    ).success(None, js="() => document.querySelector('#ray-file').click()")
