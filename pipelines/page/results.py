"""Boxes for the results of a run: pictures, notes, facts, receipts, cards, links and files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

PICTURES: dict[str, Any] = {
    "interactive": False,
    "format": "png",
    "buttons": ["download", "fullscreen"],
}
"""Options of pictures that are shown. Gradio's share button would send them to the Hub."""


def receipt_box(label: str = "Receipt", **options: Any) -> gr.JSON:
    """A closed accordion with the receipt of the last result."""
    with gr.Accordion("Receipt", open=False):
        return gr.JSON(label=label, **options)


def notes_text(notes: Sequence[str]) -> dict[str, Any]:
    """An update for a plain text box of remarks; hidden while there are none."""
    update: dict[str, Any] = gr.update(value="\n".join(notes), visible=bool(notes))
    return update


def notes_box() -> gr.Textbox:
    """Remarks that quote the visitor: plain text, never markup."""
    return gr.Textbox(
        label="Good to know",
        visible=False,
        interactive=False,
        lines=1,
        max_lines=8,
        elem_classes="notes",
    )


def facts(*pairs: tuple[str, str]) -> str:
    """``**seed** 7 · **total** 1.2 s``: a line of numbers under a result, as Markdown."""
    return " · ".join(f"**{name}** {value}" for name, value in pairs)


def card_button(**options: Any) -> gr.UploadButton:
    """Takes a card, for a panel to be set up by it."""
    return gr.UploadButton("Open a card", file_types=[".json"], size="sm", **options)


def link_box(**options: Any) -> gr.Textbox:
    """Shows the query that opens the page on a comparison, once there is one."""
    return gr.Textbox(
        label="Link: add it to the page's address", interactive=False, visible=False, max_lines=1,
        buttons=["copy"], **options,
    )  # fmt: skip


def files_box(**options: Any) -> gr.File:
    """The files of a result, once there are some."""
    return gr.File(
        label="To keep and to publish", file_count="multiple", interactive=False, visible=False,
        **options,
    )  # fmt: skip


def shown(value: Any) -> dict[str, Any]:
    """An update that shows a value, or hides its box where there is none."""
    update: dict[str, Any] = gr.update(value=value or None, visible=bool(value))
    return update
