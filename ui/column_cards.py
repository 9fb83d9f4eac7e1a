"""The playground's columns as HTML: one card a passage, what moved between columns, where the time went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import quote, urlencode

from serve_apps.wire_knowledge import Document, Hit, Passage
from ui.excerpts import excerpt
from ui.search_columns import Entry, Ranking, key_of
from ui.shell import error_html
from ui.stats import milliseconds, stat_line

__all__ = ["board", "chat_link", "moves", "page_link", "place", "where"]

SHOWN_CHARACTERS = 260


def board(rankings: Sequence[Ranking], links: Mapping[str, str], *, min_score: float | None = None) -> str:
    """All columns side by side, each compared with the one on its left.

    Args:
        rankings: the columns, in order.
        links: address of "use these settings in chat", by the column's key.
        min_score: entries below are marked as ones that chat would leave out.
    """
    columns = []
    for i, ranking in enumerate(rankings):
        left = next((other for other in reversed(rankings[:i]) if not other.error), None)
        columns.append(_column(ranking, left, links.get(ranking.column.key, ""), min_score))
    return f'<div class="ray-columns" style="--n:{len(rankings)}">{"".join(columns)}</div>'


def moves(left: Ranking, right: Ranking) -> tuple[dict[str, int | None], list[tuple[Entry, int]]]:
    """What changed from one column to the next.

    Returns:
        Places that each passage of `right` went up (None: it is new); what went, and its place in `left`.
    """
    before = {key_of(entry.hit): rank for rank, entry in enumerate(left.entries, 1)}
    after = {key_of(entry.hit): rank for rank, entry in enumerate(right.entries, 1)}
    moved = {key: before[key] - rank if key in before else None for key, rank in after.items()}
    gone = [(entry, before[key_of(entry.hit)]) for entry in left.entries if key_of(entry.hit) not in after]
    return moved, gone


def _column(ranking: Ranking, left: Ranking | None, link: str, min_score: float | None) -> str:
    name = escape(ranking.column.name)
    if ranking.error:
        body = f'<p class="ray-column-error">{error_html(ranking.error)}</p>'
    else:
        body = _entries(ranking, left, min_score)
    chat = f'<a href="{escape(link)}">Use in chat</a>' if link and not ranking.error else ""
    times = stat_line({word: milliseconds(ms) for word, ms in ranking.timings_ms.items()})
    return (
        f'<section class="ray-column" data-column="{ranking.column.key}" aria-label="{name}">'
        f'<div class="ray-column-head"><h3>{name}</h3>{chat}</div>{times}{body}</section>'
    )


def _entries(ranking: Ranking, left: Ranking | None, min_score: float | None) -> str:
    if not ranking.entries:
        return '<p class="ray-quiet">Nothing found.</p>'
    moved, gone = moves(left, ranking) if left else ({}, [])
    cards = "".join(_card(entry, ranking, moved, min_score) for entry in ranking.entries)
    list_of = f"<ol>{cards}</ol>"
    if not gone:
        return list_of
    items = "".join(
        f'<li data-key="{escape(key_of(entry.hit))}" tabindex="0"><b>{rank}</b> '
        f'<span dir="auto">{escape(excerpt(entry.hit.passage.text, 60))}</span></li>'
        for entry, rank in gone
    )
    return f'{list_of}<div class="ray-gone"><h4>Gone</h4><ul>{items}</ul></div>'


def _card(entry: Entry, ranking: Ranking, moved: Mapping[str, int | None], min_score: float | None) -> str:
    hit, key = entry.hit, key_of(entry.hit)
    low = _is_low(entry, ranking, min_score)
    mark = _moved(moved[key]) if key in moved else ""
    note = '<span class="ray-passage-low">below the least score</span>' if low else ""
    return (
        f'<li class="ray-passage{" ray-low" if low else ""}" tabindex="0" {passage_data(hit)}>'
        f'<p class="ray-passage-where">{place(hit.document, hit.passage)}{mark}</p>'
        f'<p class="ray-passage-text" dir="auto">{escape(excerpt(hit.passage.text, SHOWN_CHARACTERS))}</p>'
        f'<p class="ray-passage-facts">{_scores(entry, ranking)}{note}'
        '<span class="ray-passage-do"><button type="button" data-do="why">Why</button>'
        '<button type="button" data-do="compare" aria-pressed="false">Compare</button></span></p></li>'
    )


def passage_data(hit: Hit) -> str:
    """What scripts know of a card: attributes, escaped."""
    cosine = "" if hit.cosine is None else f"{hit.cosine:.4f}"
    fields = {
        "key": key_of(hit),
        "document": hit.document.id,
        "index": str(hit.passage.index),
        "name": hit.document.name,
        "text": excerpt(hit.passage.text, 120),
        "cosine": cosine,
    }
    return " ".join(f'data-{name}="{escape(value)}"' for name, value in fields.items())


def _is_low(entry: Entry, ranking: Ranking, min_score: float | None) -> bool:
    """As chat judges: by the reranker's score, else by the cosine, where there is one."""
    judged = entry.score if ranking.column.rerank else entry.hit.cosine
    return min_score is not None and judged is not None and judged < min_score


def _scores(entry: Entry, ranking: Ranking) -> str:
    hit = entry.hit
    facts: dict[str, float | None] = {"rerank": entry.score} if ranking.column.rerank else {}
    facts |= {"cosine": hit.cosine, "BM25": hit.bm25}
    if ranking.column.method == "hybrid":
        facts["fused"] = hit.score
    digits = {"BM25": 2}
    return "".join(
        f'<span class="ray-fact"><i>{name}</i> {value:.{digits.get(name, 3)}f}</span>'
        for name, value in facts.items()
        if value is not None
    )


def _moved(n_up: int | None) -> str:
    if n_up is None:
        return '<span class="ray-move ray-hit-up">new</span>'
    if not n_up:
        return ""
    word, arrow = ("up", "\u2191") if n_up > 0 else ("down", "\u2193")
    n = abs(n_up)
    return f'<span class="ray-move ray-hit-{word}" aria-label="{n} {word}">{arrow}{n}</span>'


def place(document: Document, passage: Passage) -> str:
    """The document's name as a link to the page, the page, and the headings above the passage."""
    headings = " \u203a ".join(passage.headings)
    path = f'<span class="ray-passage-path" dir="auto">{escape(headings)}</span>' if headings else ""
    return (
        f'<a href="{page_link(document.id, passage)}" target="_blank" rel="noopener" dir="auto">'
        f"{escape(document.name)}</a> <span>{where(passage)}</span>{path}"
    )


def where(passage: Passage) -> str:
    """`p. 3`, or the time in a recording."""
    if passage.start_s is not None:
        minutes, seconds = divmod(int(passage.start_s), 60)
        return f"{minutes}:{seconds:02d}"
    return f"p.\u202f{passage.page}"


def page_link(document_id: str, passage: Passage) -> str:
    """The page's own view with the passage highlighted, relative to this page."""
    at = f"?start={passage.start}&amp;end={passage.end}"
    return f"../../v1/documents/{quote(document_id, safe='')}/pages/{passage.page}{at}"


def chat_link(ranking: Ranking, collections: Sequence[str], n_passages: int, min_score: float | None) -> str:
    """The chat page with a column's settings."""
    settings = {
        "mode": "documents_first",
        "collections": ",".join(collections),
        "method": ranking.column.method,
        "rerank": str(int(ranking.column.rerank)),
        "n_passages": str(n_passages),
    }
    if min_score is not None:
        settings["min_score"] = f"{min_score:g}"
    return f"../chat/?{urlencode(settings, safe=',')}"
