"""Raydio's look: one theme, light and dark, system fonts, one accent colour.

`gradio_ingress` hands `theme()`, `css()` and `head()` to `gr.mount_gradio_app`; Gradio ignores them
in the Blocks constructor of a mounted app.
"""

from __future__ import annotations

import base64

import gradio as gr
from gradio.themes.utils import fonts, sizes
from gradio.themes.utils.colors import Color

from serve_apps.settings import ASSETS

TEAL = Color(
    name="raydio-teal",
    c50="#effaf8",
    c100="#d5f2ed",
    c200="#aee4dc",
    c300="#79cfc4",
    c400="#3fb3a7",
    c500="#1c978c",
    c600="#0e7a72",
    c700="#0d625c",
    c800="#104f4b",
    c900="#12413e",
    c950="#042725",
)
"""The accent. 600 on white and 300 on 950 of INK have a contrast above 4.5."""
INK = Color(
    name="raydio-ink",
    c50="#f7f8f8",
    c100="#eff1f1",
    c200="#e0e4e4",
    c300="#c7cdce",
    c400="#939c9e",
    c500="#657073",
    c600="#4c565a",
    c700="#394246",
    c800="#222a2d",
    c900="#171d1f",
    c950="#0f1416",
)
"""Greys with a trace of the accent."""
SANS = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif'
MONO = 'ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace'


class Raydio(gr.themes.Base):
    """Flat surfaces, hairline borders, colour only where it means something."""

    def __init__(self) -> None:
        super().__init__(
            primary_hue=TEAL,
            secondary_hue=TEAL,
            neutral_hue=INK,
            spacing_size=sizes.spacing_md,
            radius_size=sizes.radius_md,
            text_size=sizes.text_md,
            font=fonts.Font("sans-serif"),
            font_mono=fonts.Font("monospace"),
        )
        # As values, not through the constructor: it quotes names, and a quoted "system-ui" is no keyword.
        self.font, self.font_mono = SANS, MONO
        self.name = "raydio"
        self._surfaces()
        self._buttons()
        self._inputs()

    def _surfaces(self) -> None:
        self.set(
            body_background_fill="#fbfcfc",
            body_background_fill_dark="*neutral_950",
            body_text_color="*neutral_900",
            body_text_color_dark="*neutral_100",
            body_text_color_subdued="*neutral_500",
            body_text_color_subdued_dark="*neutral_400",
            background_fill_primary="white",
            background_fill_primary_dark="*neutral_900",
            background_fill_secondary="*neutral_50",
            background_fill_secondary_dark="*neutral_800",
            border_color_primary="*neutral_200",
            border_color_primary_dark="#2c3538",
            color_accent_soft="*primary_50",
            color_accent_soft_dark="#10302e",
            link_text_color="*primary_600",
            link_text_color_dark="*primary_300",
            block_background_fill="*background_fill_primary",
            block_border_width="1px",
            block_label_background_fill="transparent",
            block_label_background_fill_dark="transparent",
            block_label_border_width="0px",
            block_label_text_color="*body_text_color_subdued",
            block_label_text_color_dark="*body_text_color_subdued",
            block_title_text_color="*body_text_color",
            block_title_text_weight="500",
            block_info_text_color="*body_text_color_subdued",
            block_shadow="none",
            block_shadow_dark="none",
            panel_border_width="0px",
            table_border_color="*border_color_primary",
        )

    def _buttons(self) -> None:
        self.set(
            button_border_width="1px",
            button_transition="background-color 120ms, border-color 120ms",
            button_large_text_weight="500",
            button_primary_background_fill="*primary_600",
            button_primary_background_fill_hover="*primary_700",
            button_primary_background_fill_dark="*primary_400",
            button_primary_background_fill_hover_dark="*primary_300",
            button_primary_text_color="white",
            button_primary_text_color_dark="*primary_950",
            button_primary_border_color="transparent",
            button_primary_border_color_dark="transparent",
            button_secondary_background_fill="*background_fill_primary",
            button_secondary_background_fill_hover="*neutral_100",
            button_secondary_background_fill_dark="*neutral_800",
            button_secondary_background_fill_hover_dark="*neutral_700",
            button_secondary_border_color="*neutral_300",
            button_secondary_border_color_dark="*neutral_700",
            button_secondary_text_color="*body_text_color",
            button_secondary_text_color_dark="*body_text_color",
        )

    def _inputs(self) -> None:
        self.set(
            input_background_fill="white",
            input_background_fill_dark="*neutral_950",
            # 3:1 against the page, so that the edge of a field can be seen.
            input_border_color="#8b9496",
            input_border_color_dark="#5d686c",
            input_border_color_focus="*primary_600",
            input_border_color_focus_dark="*primary_300",
            input_border_width="1px",
            input_placeholder_color="*neutral_500",
            input_placeholder_color_dark="*neutral_400",
            input_shadow_focus="0 0 0 3px *primary_100",
            input_shadow_focus_dark="0 0 0 3px #12413e",
            slider_color="*primary_600",
            slider_color_dark="*primary_400",
            loader_color="*primary_500",
            checkbox_background_color_selected="*primary_600",
            checkbox_background_color_selected_dark="*primary_500",
            checkbox_border_color_selected="*primary_600",
            checkbox_border_color_selected_dark="*primary_500",
        )


def theme() -> gr.themes.Base:
    """The theme that every page is mounted with."""
    return Raydio()


STYLES = ("theme", "history/history", "documents", "collections")
"""The style sheet's parts, in `assets`."""


def css() -> str:
    """The style sheet that every page is mounted with."""
    return "\n".join((ASSETS / f"{name}.css").read_text() for name in STYLES)


def head() -> str:
    """The `<head>` additions that every page is mounted with: icon and description."""
    icon = base64.b64encode((ASSETS / "favicon.svg").read_bytes()).decode()
    return (
        f'<link rel="icon" type="image/svg+xml" href="data:image/svg+xml;base64,{icon}">\n'
        '<meta name="description" content="Raydio: chat, voice and speech on your own machine.">\n'
        '<meta name="color-scheme" content="light dark">\n'
    )
