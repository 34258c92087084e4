"""The widgets of the panel "Blind votes": what a duel is given, its places, the leaderboard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import gradio as gr

from pipelines.arena.ballot import ALL_BAD, FEWEST_MODELS, PLACES, TIE
from pipelines.arena.report import BOARD_HEADERS, NAMES_HEADERS
from pipelines.page import ui
from pipelines.settings import Settings

TALE = "The princess opened the little golden door, and"
SCENE = "a small rocket above a big moon on a black background"


class Given(NamedTuple):
    """What a duel is started with, in the order of the handler's parameters."""

    task: gr.Radio
    prompt: gr.Textbox
    models: gr.Dropdown
    seed: gr.Number
    picture: gr.Image


@dataclass(frozen=True)
class Slot:
    """One place: text or picture is shown, as the task is."""

    column: gr.Column
    text: gr.Textbox
    picture: gr.Image
    best: gr.Button


@dataclass(frozen=True)
class Page:
    """All widgets that a handler reads or writes."""

    given: Given
    token: gr.Textbox
    status: gr.HTML
    notes: gr.Textbox
    slots: list[Slot]
    tie: gr.Button
    all_bad: gr.Button
    names: gr.Dataframe
    receipt: gr.JSON
    standings: gr.Dataframe
    counts: gr.Markdown
    warning: gr.Textbox
    link: gr.Textbox

    @property
    def outputs(self) -> list[Any]:
        """The endpoint's outputs: token, texts from A on, pictures from A on; then the rest."""
        texts, pictures = [s.text for s in self.slots], [s.picture for s in self.slots]
        return [
            self.token, *texts, *pictures, self.status, self.names, self.receipt,
            *(slot.column for slot in self.slots), *self.buttons.values(), self.link,
        ]  # fmt: skip

    @property
    def buttons(self) -> dict[str, gr.Button]:
        """Choices, and what is clicked to make them."""
        best = {PLACES[index]: slot.best for index, slot in enumerate(self.slots)}
        return {**best, TIE: self.tie, ALL_BAD: self.all_bad}

    @property
    def board(self) -> list[Any]:
        """What tells of all votes of a task."""
        return [self.standings, self.counts, self.warning]


def build_input() -> tuple[gr.Radio, gr.Textbox, gr.Image]:
    return (
        ui.task_picker(elem_id="votes-task"),
        ui.textbox(value=TALE, label="Prompt", lines=3, elem_id="votes-prompt"),
        ui.picture(elem_id="votes-picture", visible=False),
    )


def build_picker(settings: Settings) -> gr.Dropdown:
    info = f"{FEWEST_MODELS} to {len(PLACES)}. A Hub reference can be typed as well."
    return ui.models_picker(settings, len(PLACES), info, elem_id="votes-models")


def build_outputs(given: Given) -> Page:
    status = ui.status_line()
    notes = ui.notes_box()
    token = ui.textbox(label="Token", visible=False)
    with gr.Row(equal_height=False):
        slots = [_build_slot(place) for place in PLACES]
    with gr.Row():
        tie = gr.Button("Tie", interactive=False, elem_id="votes-tie")
        all_bad = gr.Button("All bad", interactive=False, elem_id="votes-all-bad")
    names = gr.Dataframe(
        headers=list(NAMES_HEADERS), datatype="str", interactive=False,
        wrap=True, label="Who was who", visible=False, elem_id="votes-names",
    )  # fmt: skip
    receipt = ui.receipt_box("Receipt of the duel", elem_id="votes-receipt")
    address = ui.link_box(elem_id="votes-link")
    standings = gr.Dataframe(
        headers=list(BOARD_HEADERS), datatype="str", interactive=False, wrap=True,
        label="Leaderboard", elem_id="votes-board",
    )  # fmt: skip
    counts = gr.Markdown(elem_classes="facts", elem_id="votes-counts")
    return Page(
        given, token, status, notes, slots, tie, all_bad, names, receipt, standings, counts,
        warning=ui.notes_box(), link=address,
    )  # fmt: skip


def _build_slot(place: str) -> Slot:
    slug = f"votes-{place.lower()}"
    with gr.Column(min_width=240, visible=False) as column:
        return Slot(
            column,
            gr.Textbox(
                label=f"Text {place}", lines=6, max_lines=20, interactive=False,
                elem_id=f"{slug}-text",
            ),
            gr.Image(
                label=f"Picture {place}", interactive=False, format="png", visible=False,
                buttons=["fullscreen"], elem_id=f"{slug}-picture", elem_classes="vote",
            ),
            gr.Button(f"{place} is best", interactive=False, elem_id=f"{slug}-best"),
        )  # fmt: skip
