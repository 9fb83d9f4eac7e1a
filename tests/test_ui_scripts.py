"""Components are cheap to describe, because their scripts stand where Gradio does not look through them."""

from __future__ import annotations

import re

import gradio as gr
import pytest

from serve_apps.settings import ASSETS
from tests.fake_clients import fake_clients
from ui import chat, embeddings, home, scripts, stt, tts, voice

MOST_CHARACTERS = 1000
PAGES = {"chat": chat, "embeddings": embeddings, "home": home, "stt": stt, "tts": tts, "voice": voice}


@pytest.mark.parametrize("name", PAGES)
async def test_no_component_brings_a_long_script_itself(name: str) -> None:
    blocks = PAGES[name].build(fake_clients())
    long = {
        str(block.elem_classes or block.elem_id)
        for block in blocks.blocks.values()
        if isinstance(block, gr.HTML) and len(block.js_on_load or "") > MOST_CHARACTERS
    }
    assert long == set()


async def test_what_a_script_fires_can_be_listened_to() -> None:
    with gr.Blocks(analytics_enabled=False):
        component = gr.HTML(**scripts.scripted("player.js", fires=["rewind"]))
    assert callable(component.rewind)
    with pytest.raises(AttributeError):
        component.forward  # noqa: B018


def test_no_script_ends_the_element_that_it_stands_in() -> None:
    for path in ASSETS.rglob("*.js"):
        assert not re.search(r"</script", path.read_text(), re.IGNORECASE), path
