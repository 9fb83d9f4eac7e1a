"""Real PDFs for tests: `made_pdf(["text of page 1", …])`."""

from __future__ import annotations

import json
from collections.abc import Sequence

import typst


def made_pdf(pages: Sequence[str], title: str = "", *, header: str = "") -> bytes:
    """A PDF with a text layer, a page a string.

    Blank lines part paragraphs; a paragraph that begins with "# " is a heading (and in the outline), with
    "## " one below it. A page's text has to fit on A5: about 1,500 characters.
    """
    head = f"#set document(title: {_quoted(title)}, date: none)\n#set text(size: 10pt, hyphenate: false)\n"
    head += f'#set page(paper: "a5", header: text({_quoted(header)}))\n'
    return typst.compile((head + "#pagebreak()\n".join(map(_page, pages))).encode())


def _page(text: str) -> str:
    return "\n\n".join(_paragraph(paragraph) for paragraph in text.split("\n\n")) + "\n"


def _paragraph(text: str) -> str:
    level = len(text) - len(text.lstrip("#"))
    if level and text[level : level + 1] == " ":
        return f"#heading(level: {level}, {_quoted(text[level + 1 :])})"
    return f"#par[#{_quoted(text)}]"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
