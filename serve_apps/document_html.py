"""A document's page as HTML: its words with the passage marked. Whatever a document says is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from itertools import pairwise

from serve_apps.settings import ASSETS
from serve_apps.wire_knowledge import Document, Page, Passage

MOST_CHARACTERS = 400_000
"""Of a page that are shown; of a longer one the part around the passage."""
_MONO = {"code", "csv", "xlsx"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PageView:
    """What is shown: a page of a document, and which of its characters."""

    document: Document
    page: Page
    start: int
    end: int
    passages: tuple[Passage, ...] = ()
    """All of a recording, with their times; empty for other documents."""

    @property
    def marked(self) -> bool:
        """Whether a passage is to be seen."""
        return self.start < self.end

    @property
    def start_s(self) -> float:
        """Where in a recording the passage begins."""
        times = [p.start_s for p in self.passages if self.holds(p) and p.start_s is not None]
        return min(times, default=0.0)

    def holds(self, passage: Passage) -> bool:
        """Whether some of what is marked is in this passage."""
        same_page = passage.page == self.page.number
        return same_page and passage.start < max(self.end, self.start + 1) and passage.end > self.start


def page_html(view: PageView) -> str:
    """The whole page."""
    document = view.document
    drawn = document.kind == "pdf"
    words = f'<section class="words"{" hidden" if drawn else ""}>{_words(view)}</section>'
    body = _header(view, drawn=drawn) + f'<main class="{"wide" if drawn else ""}">'
    body += (_picture(view) if drawn else "") + words
    return _whole(f"{document.name}, page {view.page.number}", body + "</main>")


def problem_html(title: str, text: str) -> str:
    """A page that says why there is none."""
    body = f'<main class="gone"><h1>{escape(title)}</h1><p class="quiet">{escape(text)}</p></main>'
    return _whole(title, body)


def query_of(view: PageView) -> str:
    """The passage, for addresses of the same page."""
    return f"?start={view.start}&end={view.end}" if view.marked else ""


@cache
def _frame() -> tuple[str, str, str]:
    """The page before its title, between title and body, and after it."""
    html = (ASSETS / "view.html").read_text()
    for name in ("css", "js"):
        html = html.replace("{{" + name + "}}", (ASSETS / f"view.{name}").read_text())
    before, rest = html.split("{{title}}")
    between, after = rest.split("{{body}}")
    return before, between, after


def _whole(title: str, body: str) -> str:
    before, between, after = _frame()
    return "".join((before, escape(title), between, body, after))


def _header(view: PageView, *, drawn: bool) -> str:
    number, n_pages = view.page.number, view.document.n_pages
    label = f" · {escape(view.page.label)}" if view.page.label else ""
    switch = (
        '<div class="switch" role="group" aria-label="Show">'
        '<button type="button" data-show="picture" aria-pressed="true">Page</button>'
        '<button type="button" data-show="text" aria-pressed="false">Text</button></div>'
    )
    return (
        f'<header><h1 dir="auto"><span>{escape(view.document.name)}</span>'
        f"<small>Page {number} of {n_pages}{label}</small></h1>"
        f'<nav aria-label="Pages">{_turn(number - 1, "← Previous", n_pages)}'
        f"{_turn(number + 1, 'Next →', n_pages)}</nav>{switch if drawn else ''}"
        f'<a href="../original" download="{escape(view.document.name)}">Download the original</a>'
        f"{_sound(view) if view.document.kind == 'audio' else ''}</header>"
    )


def _turn(number: int, word: str, n_pages: int) -> str:
    if n_pages == 1:
        return ""
    if not 1 <= number <= n_pages:
        return f'<span aria-disabled="true">{word}</span>'
    return f'<a href="{number}">{word}</a>'


def _picture(view: PageView) -> str:
    alt = escape(f"Page {view.page.number} of {view.document.name}")
    return (
        '<section class="picture"><p class="waiting" role="status">Drawing the page…</p>'
        f'<div class="sheet" hidden><img alt="{alt}"></div></section>'
        '<p class="quiet problem" role="status"></p>'
    )


def _sound(view: PageView) -> str:
    """A player, always in sight, which the page hides where the browser cannot play the recording."""
    return f'<audio controls preload="metadata" src="../original" data-start-s="{view.start_s:.2f}"></audio>'


def _words(view: PageView) -> str:
    timed = [p for p in view.passages if p.page == view.page.number and p.start_s is not None]
    if timed:
        # Passages may overlap: each is shown from where the one before it ended.
        starts = [timed[0].start, *(max(p.start, q.end) for q, p in pairwise(timed))]
        rows = (_timed(view, passage, start) for passage, start in zip(timed, starts, strict=True))
        return f'<ol class="times">{"".join(rows)}</ol>'
    mono = " mono" if view.document.kind in _MONO else ""
    return f'<div class="text{mono}" dir="auto">{marked_text(view.page.text, view.start, view.end)}</div>'


def _timed(view: PageView, passage: Passage, start: int) -> str:
    seconds = passage.start_s or 0.0
    said = escape(view.page.text[start : passage.end])
    said = f"<mark>{said}</mark>" if view.marked and view.holds(passage) else said
    clock = f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
    return (
        f'<li><button type="button" data-start-s="{seconds:.2f}" aria-label="Play from {clock}">{clock}'
        f'</button><p dir="auto">{said}</p></li>'
    )


def marked_text(text: str, start: int, end: int) -> str:
    """The text as HTML, `text[start:end]` in a mark; of a very long one what lies around it."""
    first = max(0, start - MOST_CHARACTERS // 2)
    last = min(len(text), max(end, first) + MOST_CHARACTERS // 2)
    before, inside, after = text[first:start], text[start:end], text[max(start, end) : last]
    left_out = '<span class="quiet">(more of this page is in the original)</span>'
    parts: Sequence[str] = (
        f"{left_out}\n\n" if first else "",
        escape(before),
        f"<mark>{escape(inside)}</mark>" if inside else "",
        escape(after),
        f"\n\n{left_out}" if last < len(text) else "",
    )
    return "".join(parts)
