"""Raydio's look: one theme, light and dark, system fonts, one accent colour."""

from __future__ import annotations

import gradio as gr

from serve_apps.settings import ASSETS


def theme() -> gr.themes.Base:
    """The theme that every page is mounted with."""
    return gr.themes.Base()


def css() -> str:
    """The style sheet that every page is mounted with."""
    return (ASSETS / "theme.css").read_text()
