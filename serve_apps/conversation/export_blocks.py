"""Markdown as nested lists that `assets/conversation.typ` draws: `["strong", [["text", "…"]]]`.

HTML in Markdown stays text. Math stays as it was written, as code.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.tree import SyntaxTreeNode

Node = list[Any]
MOST_DEPTH = 10
"""Lists in quotes in lists…: what is deeper is shown as its text; typst calls itself 80 deep at most."""
HEADING_PT = {1: 15.0, 2: 13.5, 3: 12.0}
LONGEST_WORD = 60
"""Characters without a space: longer ones would leave the page."""
_MATH = re.compile(r"\\\((.+?)\\\)|\\\[(.+?)\\\]|\$\$(.+?)\$\$|\$(?! )([^$\n]+?)(?<! )\$(?!\d)", re.DOTALL)
_LONG = re.compile(rf"(\S{{{LONGEST_WORD}}})(?=\S)")
_LINKS = {"http", "https", "mailto"}


def blocks_of(markdown: str) -> list[Node]:
    """The blocks of a text in Markdown."""
    root = SyntaxTreeNode(_parser().parse(markdown))
    return _blocks(root, 0)


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"maxNesting": 1000, "html": False}).enable(["table", "strikethrough"])
    parser.inline.ruler.before("escape", "math", _math)
    return parser


def _math(state: StateInline, silent: bool) -> bool:
    found = _MATH.match(state.src, state.pos)
    if found is None or found.end() > state.posMax:
        return False
    if not silent:
        token = state.push("code_inline", "code", 0)
        token.content = found.group(0).strip()
    state.pos = found.end()
    return True


def _block(node: SyntaxTreeNode, depth: int) -> Node:
    made = _BLOCKS.get(node.type)
    if made is None or depth > MOST_DEPTH:
        return ["paragraph", [_text(_plain(node))]]
    return made(node, depth + 1)


def _blocks(node: SyntaxTreeNode, depth: int) -> list[Node]:
    return [_block(child, depth) for child in node.children]


def _heading(node: SyntaxTreeNode) -> Node:
    return ["heading", HEADING_PT.get(int(node.tag[1:]), 11.0), _inline_of(node)]


def _pre(node: SyntaxTreeNode) -> Node:
    return ["pre", (node.info.split() or ["text"])[0], _broken(node.content)]


def _numbered(node: SyntaxTreeNode, depth: int) -> Node:
    items = [_blocks(item, depth) for item in node.children]
    return ["numbered", int(node.attrs.get("start", 1)), items]


def _table(node: SyntaxTreeNode) -> Node:
    rows = [row for part in node.children for row in part.children]
    cells = [[cell.type == "th", _inline_of(cell)] for row in rows for cell in row.children]
    return ["table", max(len(row.children) for row in rows), cells]


_BLOCKS: dict[str, Callable[[SyntaxTreeNode, int], Node]] = {
    "paragraph": lambda node, _: ["paragraph", _inline_of(node)],
    "inline": lambda node, _: ["paragraph", _inline_of(node)],
    "heading": lambda node, _: _heading(node),
    "fence": lambda node, _: _pre(node),
    "code_block": lambda node, _: _pre(node),
    "bullet_list": lambda node, depth: ["list", [_blocks(item, depth) for item in node.children]],
    "ordered_list": _numbered,
    "blockquote": lambda node, depth: ["quote", _blocks(node, depth)],
    "table": lambda node, _: _table(node),
    "hr": lambda _node, _depth: ["rule"],
}


def _inline_of(node: SyntaxTreeNode) -> list[Node]:
    inline = node if node.type == "inline" else node.children[0] if node.children else None
    return [_inline(child, 0) for child in inline.children] if inline is not None else []


def _inline(node: SyntaxTreeNode, depth: int) -> Node:
    made = _INLINE.get(node.type)
    if made is None or depth > MOST_DEPTH:
        return _text(_plain(node))
    return made(node, [_inline(child, depth + 1) for child in node.children])


def _link(node: SyntaxTreeNode, inside: list[Node]) -> Node:
    """A link that a reader may follow; others keep their words alone."""
    address = str(node.attrs.get("href", ""))
    return ["link", address, inside] if urlsplit(address).scheme in _LINKS else ["strong", inside]


def _picture(node: SyntaxTreeNode) -> Node:
    return _text(f"[picture: {_plain(node) or node.attrs.get('src', '')}]")


_INLINE: dict[str, Callable[[SyntaxTreeNode, list[Node]], Node]] = {
    "strong": lambda _, inside: ["strong", inside],
    "em": lambda _, inside: ["emph", inside],
    "s": lambda _, inside: ["strike", inside],
    "code_inline": lambda node, _: ["code", _broken(node.content)],
    "softbreak": lambda _node, _inside: _text(" "),
    "hardbreak": lambda _node, _inside: ["break"],
    "link": _link,
    "image": lambda node, _: _picture(node),
}


def _plain(node: SyntaxTreeNode) -> str:
    """A part's text, without its marks."""
    if node.children:
        return "".join(_plain(child) for child in node.children)
    return "" if node.is_root else node.content


def _text(text: str) -> Node:
    return ["text", _broken(text)]


def _broken(text: str) -> str:
    """With places where a very long word may go on in the next line."""
    return _LONG.sub("\\1\u200b", text)


def plain_blocks(text: str) -> list[Node]:
    """A text that is not Markdown: its lines as they are."""
    nodes: list[Node] = []
    for line in text.split("\n"):
        nodes += [_text(line), ["break"]]
    return [["paragraph", nodes[:-1]]]
