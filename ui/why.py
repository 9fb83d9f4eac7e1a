"""Why a passage was found: its words, its ranks and their fusion, its best sentence, its neighbours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from html import escape
from typing import Any

import gradio as gr

from serve_apps.contracts import Clients
from serve_apps.errors import RaydioError
from serve_apps.wire_knowledge import Hit
from ui.column_cards import place
from ui.evidence import DEEP, Evidence, evidence
from ui.shell import error_html
from ui.term_weights import CollectionWords, Term, spans, terms
from ui.user import user_of

__all__ = ["why"]

WORDS_WEIGHT, WORDS_HALF = 0.2, 5.0
"""What words add to a cosine, as the store has it: a share of the weight, half of it at this BM25."""


def why(clients: Clients) -> Callable[[Any, gr.Request], Awaitable[dict[str, str]]]:
    """The function that the page's scripts call: `{query, document, index, collections}` to HTML."""
    counted = CollectionWords(clients.knowledge)

    async def explain(asked: Any, request: gr.Request) -> dict[str, str]:
        """The explanation as HTML, all texts escaped; for what the user may not read, only an error."""
        try:
            return {"html": _html(await evidence(clients, counted, asked, user_of(request)))}
        except RaydioError as error:
            return {"error": error_html(error)}

    return explain


def _html(known: Evidence) -> str:
    parts = [f'<p class="ray-passage-where">{place(known.document, known.passage)}</p>']
    parts.append(_text(known))
    if known.query:
        parts += [_scores(known), _words(known), _sentence(known)]
    parts.append(_around(known))
    return "".join(parts)


def _text(known: Evidence) -> str:
    found = _terms(known)
    # Words that every text has would hide those that matter.
    counting = [term for term in found if term.weight] if known.statistics else found
    marked = _marked(known.passage.text, counting)
    return f'<blockquote class="ray-why-text" dir="auto">{marked}</blockquote>'


def _terms(known: Evidence) -> list[Term]:
    score = known.hit.bm25 if known.hit else None
    return terms(known.query, known.passage.text, known.statistics, score)


def _marked(text: str, found: Sequence[Term]) -> str:
    pieces, last = [], 0
    for start, end in spans(text, (term.word for term in found)):
        pieces += [escape(text[last:start]), f"<mark>{escape(text[start:end])}</mark>"]
        last = end
    return "".join([*pieces, escape(text[last:])])


def _scores(known: Evidence) -> str:
    hit = known.hit
    if hit is None:
        return f"<h4>Scores</h4><p>Neither search has it among its first {DEEP}.</p>"
    rows = [
        ("Dense", _rank(hit.dense_rank), _number("cosine", hit.cosine, 3)),
        ("BM25", _rank(hit.bm25_rank), _number("BM25", hit.bm25, 2)),
        *([("Hybrid", "", _fusion(hit))] if hit.dense_rank or hit.bm25_rank else []),
    ]
    items = "".join(
        f'<tr><th scope="row">{name}</th><td>{rank}</td><td>{score}</td></tr>' for name, rank, score in rows
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Search", "Rank, unfiltered", "Score"))
    return (
        '<h4>Scores</h4><div class="ray-table"><table class="ray-why-scores">'
        f"<thead><tr>{head}</tr></thead><tbody>{items}</tbody></table></div>"
    )


def _fusion(hit: Hit) -> str:
    """How the hybrid score came about: the cosine, and what the query's words add to it."""
    if hit.dense_rank is None or hit.cosine is None:
        return f"{hit.score:.3f}: as near as the last that dense found, and more for its words"
    if hit.bm25_rank is None:
        return f"{hit.cosine:.3f} (cosine) + 0 (words) = {hit.score:.3f}"
    return f"{hit.cosine:.3f} (cosine) + {hit.score - hit.cosine:.3f} (words) = {hit.score:.3f}"


def _rank(rank: int | None) -> str:
    return f"{rank}" if rank else f"not among the first {DEEP}"


def _number(word: str, value: float | None, digits: int) -> str:
    return f"{word} {value:.{digits}f}" if value is not None else "\u2013"


def _words(known: Evidence) -> str:
    found = _terms(known)
    total = sum(term.weight or 0 for term in found) or 1.0
    counted = known.statistics is not None
    items = "".join(_word(term, total, counted=counted) for term in found)
    note = (
        "About: the BM25 score above, divided by how rare each word is in the collection."
        if known.statistics
        else "The collection is too large to count its words here: this is what the passage itself says."
    )
    return f'<h4>Words</h4><ul class="ray-why-words">{items}</ul><p class="ray-quiet">{note}</p>'


def _word(term: Term, total: float, *, counted: bool) -> str:
    word = escape(term.word)
    if not term.count:
        return f'<li><span class="ray-absent">{word}</span><span>not in it</span></li>'
    times = "once" if term.count == 1 else f"{term.count} times"
    if term.weight is None:
        return f"<li><span>{word}</span><span>{times}{', too common to count' if counted else ''}</span></li>"
    share = term.weight / total
    return (
        f"<li><mark>{word}</mark><span>{times}, in {term.n_with} passages</span>"
        f'<span class="ray-hit-bar" aria-hidden="true"><i style="width:{share:.0%}"></i></span>'
        f"<b>{term.weight:.2f}</b></li>"
    )


def _sentence(known: Evidence) -> str:
    if known.best is None:
        return "<h4>Best sentence</h4><p>The reranker did not answer.</p>"
    text, score = known.best
    return f'<h4>Best sentence</h4><p dir="auto"><q>{escape(text)}</q> <b>{score:.3f}</b> by the reranker</p>'


def _around(known: Evidence) -> str:
    items = "".join(
        f'<li dir="auto"><b>{"Before" if other.index < known.passage.index else "After"}</b> '
        f"{escape(other.text)}</li>"
        for other in known.around
        if other.index != known.passage.index
    )
    return (
        f'<details><summary>Around it</summary><ul class="ray-why-around">{items}</ul></details>'
        if items
        else ""
    )
