"""The widgets of the panel "Blind votes": what a duel is given, its places, the leaderboard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from pipelines.arena.ballot import ALL_BAD, FEWEST_MODELS, PLACES, TIE
from pipelines.arena.report import BOARD_HEADERS, NAMES_HEADERS
from pipelines.page import ui
from pipelines.settings import Settings

TALE = "The princess opened the little golden door, and"
SCENE = "a small rocket above a big moon on a black background"

_BOARD_WIDTHS = (22, 8, 12, 8, 7, 7, 7, 29)
"""Of the leaderboard's columns, in percent: every word of the headers is whole."""

Widgets = dict[str, Any]


@dataclass(frozen=True)
class Page:
    """All widgets that a handler reads or writes, by name.

    ``given`` are in the order of the handler's parameters. A slot is one place: its text or its
    picture is shown, as the task is.
    """

    given: Widgets
    slots: list[Widgets]
    results: Widgets

    @property
    def outputs(self) -> list[Any]:
        """The endpoint's outputs: token, texts from A on, pictures from A on; then the rest."""
        made = [slot[name] for name in ("text", "picture") for slot in self.slots]
        shown = [self.results[name] for name in ("status", "names", "receipt")]
        columns = [slot["column"] for slot in self.slots]
        buttons = self.buttons.values()
        return [self.results["token"], *made, *shown, *columns, *buttons, self.results["link"]]

    @property
    def buttons(self) -> dict[str, gr.Button]:
        """Choices, and what is clicked to make them."""
        best = {place: slot["best"] for place, slot in zip(PLACES, self.slots, strict=True)}
        return {**best, TIE: self.results[TIE], ALL_BAD: self.results[ALL_BAD]}

    @property
    def board(self) -> list[Any]:
        """The widgets of the leaderboard."""
        return [self.results[name] for name in ("standings", "counts", "warning")]


def build_input() -> Widgets:
    return {
        "task": ui.task_picker(elem_id="votes-task"),
        "prompt": ui.textbox(value=TALE, label="Prompt", lines=3, elem_id="votes-prompt"),
        "picture": ui.picture(elem_id="votes-picture", visible=False),
    }


def build_picker(settings: Settings) -> gr.Dropdown:
    info = f"{FEWEST_MODELS} to {len(PLACES)}. A Hub reference can be typed as well."
    return ui.models_picker(settings, len(PLACES), info, elem_id="votes-models")


def build_outputs(given: Widgets) -> Page:
    results: Widgets = {"status": ui.status_line(), "notes": ui.notes_box()}
    results["token"] = ui.textbox(label="Token", visible=False)
    with gr.Row(equal_height=False):
        slots = [_build_slot(place) for place in PLACES]
    with gr.Row():
        results[TIE] = gr.Button("Tie", interactive=False, elem_id="votes-tie")
        results[ALL_BAD] = gr.Button("All bad", interactive=False, elem_id="votes-all-bad")
    table: Widgets = {"datatype": "str", "interactive": False, "wrap": True}
    results |= {
        "names": gr.Dataframe(
            headers=list(NAMES_HEADERS), label="Who was who", visible=False, elem_id="votes-names",
            **table,
        ),
        "receipt": ui.receipt_box("Receipt of the duel", elem_id="votes-receipt"),
        "link": ui.link_box(elem_id="votes-link"),
        "standings": gr.Dataframe(
            headers=list(BOARD_HEADERS), label="Leaderboard", elem_id="votes-board",
            column_widths=[f"{width}%" for width in _BOARD_WIDTHS], **table,
        ),
        "counts": gr.Markdown(elem_classes="facts", elem_id="votes-counts"),
        "warning": ui.notes_box(),
    }  # fmt: skip
    return Page(given, slots, results)


def _build_slot(place: str) -> Widgets:
    slug = f"votes-{place.lower()}"
    with gr.Column(min_width=240, visible=False) as column:
        return {
            "column": column,
            "text": gr.Textbox(
                label=f"Text {place}", lines=6, max_lines=20, interactive=False,
                elem_id=f"{slug}-text",
            ),
            "picture": gr.Image(
                label=f"Picture {place}", interactive=False, format="png", visible=False,
                buttons=["fullscreen"], elem_id=f"{slug}-picture", elem_classes="vote",
            ),
            "best": gr.Button(f"{place} is best", interactive=False, elem_id=f"{slug}-best"),
        }  # fmt: skip
