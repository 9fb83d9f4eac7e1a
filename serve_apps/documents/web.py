"""HTML, by lxml: its main content as headings, paragraphs, lists, tables and code; nothing hidden."""

from __future__ import annotations

import re
from typing import Any, BinaryIO

from lxml import etree, html

from serve_apps.documents.decoding import decoded
from serve_apps.documents.grid import write_rows
from serve_apps.documents.structure import Book, Writer, one_line
from serve_apps.errors import DocumentUnreadable

_NOT_READ = frozenset(
    (
        "script", "style", "noscript", "template", "nav", "footer", "aside", "iframe", "object", "embed",
        "svg", "canvas", "audio", "video", "map", "button", "input", "select", "textarea", "datalist",
        "dialog", "head", "title",
    )
)  # fmt: skip
_FLOWING = frozenset(
    (
        "a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i",
        "img", "ins", "kbd", "label", "mark", "q", "rp", "rt", "ruby", "s", "samp", "small", "span",
        "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr",
    )
)  # fmt: skip
_LANDMARKS = ("navigation", "banner", "contentinfo", "search", "complementary", "menu", "dialog")
_HIDDEN = re.compile(
    r"(?:display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d]))", re.IGNORECASE
)
_HEADING = re.compile(r"h([1-6])$")
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([\w-]+)", re.IGNORECASE)
_HEAD_BYTES = 4096
_WIDEST_SPAN = 200
_PERMALINK = "¶# \n"
"""What generators of documentation put behind a heading."""


def read_html(file: BinaryIO, name: str, book: Book) -> None:
    """The page as one page."""
    _ = name
    root = parsed(book.taken(file))
    title = root.find(".//title")
    page = book.turn()
    write_html(root, page)
    book.title = one_line(title.text_content()) if title is not None else page.first_heading
    page.close()


def parsed(data: bytes) -> Any:
    """The tree of an HTML or XHTML file: no network, no entities of its own.

    Raises:
        DocumentUnreadable: there is nothing in it.
    """
    declared = _CHARSET.search(data, 0, _HEAD_BYTES)
    text = decoded(data, declared[1].decode() if declared else "")
    parser = html.HTMLParser(
        encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True, huge_tree=True
    )
    try:
        root = html.document_fromstring(text.encode("utf-8", "replace"), parser=parser)
    except etree.LxmlError as wrong:
        if text.strip():  # anything makes a page, unless there is no memory for it
            raise MemoryError from wrong
        raise DocumentUnreadable(
            "The page is empty or no HTML.", "Save it again from the browser."
        ) from wrong
    return root


def write_html(root: Any, page: Writer) -> None:
    """Write what a reader of the page came for."""
    _Walk(page).go(_main(root))


def _main(root: Any) -> Any:
    """The one element that holds the content, where the page says so."""
    for path in (".//main", ".//*[@role='main']", ".//article"):
        found = root.findall(path)
        if len(found) == 1:
            return found[0]
    body = root.find(".//body")
    return root if body is None else body


class _Walk:
    """Goes through the elements in order, gathering words until a block ends."""

    def __init__(self, page: Writer) -> None:
        self._page = page
        self._words: list[str] = []

    def go(self, top: Any) -> None:
        walk = etree.iterwalk(top, events=("start", "end"))
        for event, element in walk:
            if event == "start" and not self._enters(element):
                walk.skip_subtree()
            elif event == "end":
                self._leaves(element, inside=element is not top)
        self._flush()

    def _enters(self, element: Any) -> bool:
        """Take in what stands before the first child; False for what is not walked through."""
        if _is_hidden(element):
            return False
        if element.tag == "br":
            self._words.append("\n")
        elif element.tag not in _FLOWING:
            self._flush()
        if element.tag == "pre":
            self._page.code(_words(element, gap="\n"))
            return False
        if heading := _HEADING.match(element.tag):
            self._page.heading(_words(element).rstrip(_PERMALINK), int(heading[1]))
            return False
        if element.tag == "table" and _is_data(element):
            write_rows([_cells(row) for row in element.iter("tr")], self._page)
            return False
        self._words.append(("• " if element.tag == "li" else "") + (element.text or ""))
        return True

    def _leaves(self, element: Any, *, inside: bool) -> None:
        if element.tag not in _FLOWING and element.tag != "br":
            self._flush(is_item=element.tag == "li")
        if inside:
            self._words.append(element.tail or "")

    def _flush(self, *, is_item: bool = False) -> None:
        text, self._words = "".join(self._words), []
        if text.strip(" \t\n•") == "":
            self._words = ["• "] if "•" in text and not is_item else []
        elif text.lstrip().startswith("• "):
            self._page.row([("", text)])
        else:
            self._page.paragraph(text)


def _words(element: Any, gap: str = " ") -> str:
    """What an element says, with a gap where its parts are not of one line."""
    parts: list[str] = []
    walk = etree.iterwalk(element, events=("start", "end"))
    for event, part in walk:
        if part.tag == "br":
            parts.append(gap if event == "start" else "")
        elif part.tag not in _FLOWING and part is not element and parts and parts[-1] != gap:
            parts.append(gap)
        if event == "start" and _is_hidden(part):
            walk.skip_subtree()
        else:
            parts.append((part.text if event == "start" else part.tail if part is not element else "") or "")
    return "".join(parts)


def _is_hidden(element: Any) -> bool:
    return (
        element.tag in _NOT_READ
        or element.get("hidden") is not None
        or element.get("aria-hidden") == "true"
        or element.get("role") in _LANDMARKS
        or _HIDDEN.search(element.get("style", "")) is not None
    )


def _is_data(table: Any) -> bool:
    """Whether it is a table, or boxes for the layout."""
    if table.find(".//table") is not None:
        return False
    rows = table.findall(".//tr")
    return table.find(".//th") is not None or (len(rows) > 1 and all(len(row) > 1 for row in rows))


def _cells(row: Any) -> list[str]:
    cells: list[str] = []
    for cell in row:
        span = cell.get("colspan", "1")
        cells.append(_words(cell))
        cells += [""] * (min(int(span), _WIDEST_SPAN) - 1 if span.isdecimal() else 0)
    return cells
