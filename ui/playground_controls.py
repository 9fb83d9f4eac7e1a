"""What asks in the playground: the query, the ways of searching, settings and filters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, get_args

import gradio as gr
from gradio.blocks import Block

from serve_apps.errors import EmptyInput, TextTooLong
from serve_apps.wire_knowledge import DocumentKind, Filters
from ui.search_columns import COLUMNS, DEFAULT, Question

__all__ = ["MOST_HITS", "Controls", "Values", "checked", "laid_out"]

MOST_CHARACTERS = 4_000
"""Of a query."""
MOST_HITS = 100
MOST_CANDIDATES = 200
Values = Mapping[Block, Any]


@dataclass(frozen=True, slots=True)
class Controls:
    """The widgets that ask; handlers receive all their values, by widget."""

    query: gr.Textbox
    collections: gr.Dropdown
    columns: gr.CheckboxGroup
    k: gr.Dropdown
    n_candidates: gr.Slider
    least: gr.Slider
    documents: gr.Dropdown
    kinds: gr.Dropdown
    tags: gr.Dropdown
    after: gr.DateTime
    before: gr.DateTime

    def widgets(self) -> set[Block]:
        """The inputs of a handler."""
        return {getattr(self, field.name) for field in fields(self)}

    def changes(self) -> list[Any]:
        """Listeners to every setting, after which the same is asked again."""
        typed = (self.columns, self.k, self.n_candidates, self.least, self.documents, self.kinds, self.tags)
        return [*(widget.input for widget in typed), self.after.change, self.before.change]

    def asked(self, values: Values, user: str) -> Question:
        """The question that the widgets' values ask.

        Raises:
            EmptyInput, TextTooLong: no query, or a novel.
        """
        return Question(
            user=user,
            query=checked(values[self.query]),
            columns=tuple(COLUMNS[key] for key in COLUMNS if key in values[self.columns]),
            collections=tuple(values[self.collections] or ()),
            k=max(1, min(MOST_HITS, int(values[self.k]))),
            n_candidates=max(1, min(MOST_CANDIDATES, int(values[self.n_candidates]))),
            filters=Filters(
                documents=tuple(values[self.documents] or ()),
                kinds=tuple(values[self.kinds] or ()),
                tags=tuple(values[self.tags] or ()),
                added_after_s=values[self.after],
                added_before_s=values[self.before],
            ),
        )


def checked(query: str) -> str:
    """A query with words in it.

    Raises:
        EmptyInput, TextTooLong.
    """
    if not query.strip():
        raise EmptyInput("There is no query.", "Type what to look for, in your own words.")
    if len(query) > MOST_CHARACTERS:
        raise TextTooLong(f"The query has more than {MOST_CHARACTERS:,} characters.", "Ask in fewer words.")
    return query.strip()


def laid_out(collections: gr.Dropdown) -> Controls:
    """The query and its settings, from top to bottom."""
    query = gr.Textbox(
        label="Search",
        placeholder="What are you looking for?",
        lines=1,
        max_lines=3,
        submit_btn="Search",
        elem_id="ray-question",
        elem_classes="ray-question",
    )
    choices = [(column.name, key) for key, column in COLUMNS.items()]
    columns = gr.CheckboxGroup(choices, value=list(DEFAULT), label="Side by side", elem_id="ray-ways")
    with gr.Accordion("Settings and filters", open=False, elem_classes="ray-settings"):
        with gr.Row():
            k = gr.Dropdown([3, 5, 10, 20, 50], value=5, label="Passages a column", min_width=130)
            n_candidates = gr.Slider(5, 100, 10, step=1, label="Passages the reranker reads", min_width=200)
            least = gr.Slider(
                0, 1, 0, step=0.05, label="Least score", info="Chat leaves out what is below", min_width=200
            )
        with gr.Row():
            documents = gr.Dropdown([], multiselect=True, label="Only these documents", min_width=220)
            kinds = gr.Dropdown(
                list(get_args(DocumentKind)), multiselect=True, label="Only these kinds", min_width=160
            )
            tags = gr.Dropdown([], multiselect=True, label="Only these tags", min_width=160)
        with gr.Row():
            after = gr.DateTime(label="Added after", include_time=False, type="timestamp", value=None)
            before = gr.DateTime(label="Added before", include_time=False, type="timestamp", value=None)
    return Controls(
        query, collections, columns, k, n_candidates, least, documents, kinds, tags, after, before
    )
