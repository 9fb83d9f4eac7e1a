"""Why a passage was found: its words, its ranks and their fusion, its best sentence, its neighbours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from html import escape
from typing import Any

import gradio as gr

from serve_apps.contracts import Clients
from serve_apps.errors import RaydioError
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
    marked = _marked(known.passage.text, [term for term in _terms(known) if term.count])
    return f'<blockquote class="ray-why-text" dir="auto">{marked}</blockquote>'


def _terms(known: Evidence) -> list[Term]:
    return terms(known.query, known.passage.text, known.statistics)


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
    words = WORDS_WEIGHT * hit.bm25 / (hit.bm25 + WORDS_HALF) if hit.bm25 else 0.0
    rows = [
        ("Dense", hit.dense_rank, "cosine", hit.cosine, 3, hit.score - words),
        ("BM25", hit.bm25_rank, "BM25", hit.bm25, 2, words),
    ]
    items = "".join(
        f"<tr><th scope='row'>{name}</th><td>{_rank(rank)}</td><td>{_number(word, value, digits)}</td>"
        f"<td>{adds:.3f}</td></tr>"
        for name, rank, word, value, digits, adds in rows
    )
    fused = f"<tr><th scope='row'>Hybrid</th><td></td><td>fused</td><td>{hit.score:.3f}</td></tr>"
    return (
        "<h4>Scores</h4><div class='ray-table'><table class='ray-why-scores'><thead><tr>"
        "<th scope='col'>Search</th><th scope='col'>Rank</th><th scope='col'>Score</th>"
        "<th scope='col'>Adds to hybrid</th></tr></thead>"
        f"<tbody>{items}{fused}</tbody></table></div>"
    )


def _rank(rank: int | None) -> str:
    return f"{rank}" if rank else f"not among the first {DEEP}"


def _number(word: str, value: float | None, digits: int) -> str:
    return f"{word} {value:.{digits}f}" if value is not None else "\u2013"


def _words(known: Evidence) -> str:
    found = _terms(known)
    total = sum(term.weight or 0 for term in found) or 1.0
    items = "".join(_word(term, total) for term in found)
    note = (
        "About: the store counts endings and very common words in its own way."
        if known.statistics
        else "The collection is too large to count its words here: this is what the passage itself says."
    )
    return f'<h4>Words</h4><ul class="ray-why-words">{items}</ul><p class="ray-quiet">{note}</p>'


def _word(term: Term, total: float) -> str:
    word = escape(term.word)
    if not term.count:
        return f"<li><span class='ray-absent'>{word}</span><span>not in it</span></li>"
    times = "once" if term.count == 1 else f"{term.count} times"
    if term.weight is None:
        return f"<li><mark>{word}</mark><span>{times}</span></li>"
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
