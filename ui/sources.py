"""Sources of an answer: its `[1]` as links to the passage, the list under it, and the viewer that they open.

Links are made of our own HTML after `markup.defuse` took all others' away: only they carry the class that
opens the viewer. Whatever a document or a model wrote stands in them as character references, which neither
Markdown nor a formula can mean anything by.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import gradio as gr

from serve_apps.settings import ASSETS
from serve_apps.wire import Source
from ui.markup import outside_code
from ui.scripts import scripted

ChatMessage = dict[str, Any]
"""A message in the form of gr.Chatbot."""
ROOT = "../../"
"""The site's root, from a page's address."""
WORDS = 220
"""Characters of a passage in the list."""
_NUMBER = re.compile(
    r"\\\[[\s\S]*?\\\]|\\\([\s\S]*?\\\)|\$\$[\s\S]*?\$\$"  # formulas: passed over
    r"|(?<!\\)\[(?P<n>[1-9]\d{0,2})\]"
)
_LINK = re.compile(r'<a class="ray-cite"[^<>]*>(\d+)</a>')
_ADDRESS = re.compile(r"v1/documents/[\w-]{1,64}/pages/\d{1,9}(\?start=\d{1,9}&end=\d{1,9})?")
_TURNING = dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)))
"""Characters that turn the writing's direction: in a name they make `exe` of `pdf`."""


def linked(text: str, sources: Sequence[Source]) -> str:
    """Markdown in which `[n]` leads to the n-th source's passage.

    Args:
        text: an answer after `markup.defuse`.
        sources: of the answer, the first is [1].

    Returns:
        The same Markdown: code and formulas are untouched, a number without a source is text, not the name
        of a link.
    """

    def link(found: re.Match[str]) -> str:
        if found["n"] is None:
            return found.group()
        number = int(found["n"])
        return _cited(number, sources[number - 1]) if number <= len(sources) else f"&#91;{number}&#93;"

    return outside_code(text, lambda prose: _NUMBER.sub(link, prose))


def unlinked(text: str) -> str:
    """What the model wrote, from what `linked` made of it."""
    return _LINK.sub(r"[\1]", text).replace("&#91;", "[").replace("&#93;", "]")


def address(source: Source) -> str:
    """Where its passage is shown, from a page; empty when the source names no place of ours."""
    return ROOT + source.url if _ADDRESS.fullmatch(source.url) else ""


def cited(text: str, sources: Sequence[Source]) -> list[int]:
    """The numbers of the sources that a text cites, in the order of the list."""
    found: set[int] = set()

    def collect(prose: str) -> str:
        found.update(int(match["n"]) for match in _NUMBER.finditer(prose) if match["n"])
        return prose

    outside_code(text, collect)
    return sorted(number for number in found if number <= len(sources))


def sources_message(sources: Sequence[Source], text: str = "") -> ChatMessage:
    """The list under an answer: what it cites first, then what the model read besides.

    Args:
        sources: of the answer, at least one.
        text: the answer with its plain `[n]`.
    """
    numbers = cited(text, sources)
    others = [number for number in range(1, len(sources) + 1) if number not in numbers]
    body = _list(numbers, sources)
    if others:
        summary = "Also read" if numbers else "Read for this answer"
        body += f"<details{'' if numbers else ' open'}><summary>{summary}: {_count(others)}</summary>"
        body += f"{_list(others, sources)}</details>"
    title = f"Sources: {len(numbers)} cited" if numbers else "Sources"
    return {
        "role": "assistant",
        "content": [{"type": "text", "text": f'<div class="ray-sources">{body}</div>'}],
        "metadata": {"title": title},
    }


def place(source: Source) -> str:
    """Document and page, the headings above, and when it is said, as people read it."""
    when = "" if source.start_s is None else f"at {int(source.start_s) // 60}:{int(source.start_s) % 60:02d}"
    return " · ".join(part for part in (source.title, " > ".join(source.headings), when) if part)


def viewer() -> gr.HTML:
    """The dialog that shows passages; put one on every page that has links to them."""
    return gr.HTML(
        html_template=(ASSETS / "sources.html").read_text(),
        apply_default_css=False,
        elem_classes="ray-viewer-host",
        **scripted("sources.js"),
    )


def _count(numbers: Sequence[int]) -> str:
    return "1 passage" if len(numbers) == 1 else f"{len(numbers)} passages"


def _list(numbers: Sequence[int], sources: Sequence[Source]) -> str:
    rows = "".join(_row(number, sources[number - 1]) for number in numbers)
    return f"<ul>{rows}</ul>" if rows else ""


def _row(number: int, source: Source) -> str:
    words = " ".join(source.text.split())
    cut = words if len(words) <= WORDS else words[:WORDS].rsplit(" ", 1)[0] + "…"
    return (
        f'<li><span class="ray-source-n">{number}</span><div>{_titled(source)}'
        f'<span class="ray-source-score" title="How well it fits">{source.score:.2f}</span>'
        f"<p>{_inert(cut)}</p></div></li>"
    )


def _titled(source: Source) -> str:
    title = _inert(place(source) or "Source")
    if href := address(source):
        return f'<a class="ray-source" href="{_inert(href)}">{title}</a>'
    return f"<b>{title}</b>"


def _cited(number: int, source: Source) -> str:
    href = address(source)
    if not href:
        return f"&#91;{number}&#93;"
    name = _inert(f"Source {number}: {place(source)}")
    return f'<a class="ray-cite" href="{_inert(href)}" title="{name}">{number}</a>'


def _inert(text: str) -> str:
    """As HTML text or attribute that means itself, to Markdown and to formulas, too."""
    line = " ".join(text.translate(_TURNING).split())
    return "".join(c if c.isalnum() or c == " " or not c.isascii() else f"&#{ord(c)};" for c in line)
