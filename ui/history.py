"""The sidebar with stored conversations, and the bar above the one that is open.

The list goes from the browser to the REST door (`/v1/conversations…`), without Gradio's queue. Its value is
`Shown`: which conversation this tab shows; it fires `select` with `{id, shown?, temporary?}` to open another.
"""

from __future__ import annotations

import gradio as gr

from serve_apps.settings import ASSETS
from ui.scripts import scripted
from ui.shown import Shown

DOOR = "../../v1"
"""From the page's address: the same behind any host and prefix."""
_SCRIPT = [f"history/{name}.js" for name in ("door", "items", "editors", "menus", "list", "marks", "page")]


def history() -> gr.HTML:
    """The list and the bar; the script lays both out where the page's style puts them."""
    return gr.HTML(
        value=Shown().value(),
        html_template=(ASSETS / "history/list.html").read_text(),
        apply_default_css=False,
        elem_classes="ray-history-host",
        door=DOOR,
        **scripted(*_SCRIPT, fires=["select"]),
    )
