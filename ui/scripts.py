"""Scripts of gr.HTML components.

Gradio searches a component's `js_on_load` whenever it asks for an attribute that is not there, eight times
for each description of the component, and describes all of them for a new tab and each output of an event
that leaves it as it is. With our scripts in there that took 0.7 ms each; so they stand in the head, and
`js_on_load` only calls them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from serve_apps.settings import ASSETS

_GIVEN = "element, trigger, props, server, upload, watch"
"""What Gradio hands to a component's script."""


def scripted(*files: str, fires: Sequence[str] = ()) -> dict[str, Any]:
    """How a component gets its script: `gr.HTML(…, **scripted("player.js", fires=["stop"]))`.

    Args:
        files: under `assets`, joined to one script, in the order in which they may know each other.
        fires: events that it triggers; only these can be listened to.
    """
    code = "\n".join((ASSETS / file).read_text() for file in files)
    name = json.dumps(" ".join(files))
    head = f"<script>(window.raydio ??= {{}})[{name}] = function ({_GIVEN}) {{\n{code}\n}};</script>"
    return {"head": head, "js_on_load": f"window.raydio[{name}]({_GIVEN}); // {json.dumps(list(fires))}"}
