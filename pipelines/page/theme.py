"""How the page looks: its theme, its CSS and its JavaScript."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

CSS = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
JS = (Path(__file__).parent / "page.js").read_text(encoding="utf-8")

INK = gr.themes.Color(
    name="ink",
    c50="#eef5f4", c100="#d6e8e6", c200="#aed2ce", c300="#80b8b3", c400="#4f9a95", c500="#2f7d79",
    c600="#1f6663", c700="#18514f", c800="#143f3e", c900="#0f302f", c950="#0a2120",
)  # fmt: skip
PAPER = gr.themes.Color(
    name="paper",
    c50="#fbf9f5", c100="#f4f0e8", c200="#e7e0d3", c300="#d2c8b7", c400="#a89d8b", c500="#766c5d",
    c600="#5a5247", c700="#3f3a33", c800="#292622", c900="#1d1b19", c950="#141312",
)  # fmt: skip


def theme() -> gr.themes.Base:
    """Ink on paper: calm, one accent, system fonts, so that nothing is fetched."""
    return gr.themes.Base(
        primary_hue=INK,
        secondary_hue=INK,
        neutral_hue=PAPER,
        radius_size=gr.themes.sizes.radius_md,
        font=["ui-sans-serif", "system-ui", "Segoe UI", "Helvetica Neue", "Arial", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"],
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_color="*neutral_200",
        block_border_color_dark="*neutral_800",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_300",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        input_background_fill="white",
        input_background_fill_dark="*neutral_800",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
        slider_color="*primary_500",
    )
