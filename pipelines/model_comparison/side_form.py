"""The widgets of Compare's first part: what both sides are given, their settings, their output."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from pipelines.image_captioning.pipeline import METHODS, CaptionRequest
from pipelines.model_comparison.pipeline import NAMES, SIDES, Side
from pipelines.page import ui
from pipelines.settings import Settings
from pipelines.text_generation.pipeline import TextResult
from pipelines.text_to_image.families import SMALL_WORLD
from pipelines.text_to_image.files import save_png
from pipelines.text_to_image.pipeline import PaintResult
from pipelines.text_to_image.schedulers import OWN_SCHEDULER, SCHEDULERS
from pipelines.validation import OWN

CAPTION = CaptionRequest(model="")
TALE = "Once upon a time there was a poor fisherman who"
SCENE = "a cat face to the left of a rose on a yellow background"
TEMPERATURE, STEPS = 0.8, 20
"""What A and B begin with: alike, for they begin with a base and a fine-tune of it."""
_HIDDEN: dict[str, Any] = {"visible": False}


@dataclass(frozen=True)
class Given:
    """What both sides share."""

    task: gr.Radio
    prompt: gr.Textbox
    picture: gr.Image
    seed: gr.Number
    max_new_tokens: gr.Slider


class SideSettings(NamedTuple):
    """One side's settings, in the order of the handler's parameters."""

    model: gr.Dropdown
    temperature: gr.Slider
    steps: gr.Slider
    guidance_scale: gr.Slider
    scheduler: gr.Dropdown
    method: gr.Radio
    captions: gr.Slider


@dataclass(frozen=True)
class Output:
    """Where one side's output goes; one of the last three is shown, as the task is."""

    status: gr.HTML
    text: gr.Textbox
    painting: gr.Gallery
    table: gr.Dataframe

    def show(self, result: Any, temporary_dir: Path) -> dict[Any, Any]:
        if isinstance(result, TextResult):
            return {self.text: result.whole(result.prompt)}
        if isinstance(result, PaintResult):
            return {self.painting: save_png(result, temporary_dir)}
        return {self.table: [[c.text, f"{100 * c.probability:.1f} %"] for c in result.captions]}


@dataclass(frozen=True)
class Page:
    """All widgets that a run reads or writes."""

    given: Given
    settings: dict[Side, SideSettings]
    out: dict[Side, Output]
    verdict: gr.Markdown
    measures: gr.Markdown
    wipe: gr.ImageSlider
    notes: gr.Textbox
    receipt: gr.JSON
    link: gr.Textbox
    files: gr.File

    @property
    def inputs(self) -> list[Any]:
        given = self.given
        shared = [given.task, given.prompt, given.seed, given.max_new_tokens]
        return [*shared, *self.settings["left"], *self.settings["right"], given.picture]

    @property
    def outputs(self) -> list[Any]:
        """The endpoint's outputs: those of A and B in turn, then what compares them."""
        a, b = self.out["left"], self.out["right"]
        return [
            a.text, b.text, a.painting, b.painting, a.table, b.table, self.verdict,
            self.measures, self.wipe, self.receipt, self.notes, *self.statuses,
            self.link, self.files,
        ]  # fmt: skip

    @property
    def statuses(self) -> list[gr.HTML]:
        return [self.out[side].status for side in SIDES]


def build_given() -> tuple[gr.Radio, gr.Textbox, gr.Image]:
    return (
        ui.task_picker(elem_id="compare-task"),
        ui.textbox(TALE, label="Prompt", lines=3, elem_id="compare-prompt"),
        ui.picture(elem_id="compare-picture", **_HIDDEN),
    )


def build_settings(settings: Settings, side: Side) -> SideSettings:
    name, index, limits = NAMES[side], SIDES.index(side), settings.limits
    slug = f"compare-{name.lower()}"
    with gr.Column(min_width=300):
        model = ui.model_picker(settings, ui.FIRST, f"Model {name}", index, elem_id=f"{slug}-model")
        return SideSettings(
            model,
            ui.slider(
                0, 2, TEMPERATURE, step=0.05, label=f"Temperature {name}",
                info="0: always the likeliest", elem_id=f"{slug}-temperature",
            ),
            ui.slider(
                OWN, limits.steps, STEPS, step=1, label=f"Steps {name}",
                info="-1: the model's own",
                elem_id=f"{slug}-steps", **_HIDDEN,
            ),
            ui.slider(
                OWN, limits.guidance_scale, SMALL_WORLD.guidance_scale, step=0.5,
                label=f"Guidance scale {name}", info="1 or less: not guided; -1: the model's own",
                elem_id=f"{slug}-guidance", **_HIDDEN,
            ),
            gr.Dropdown(
                list(SCHEDULERS), value=OWN_SCHEDULER, label=f"Scheduler {name}",
                interactive=True, elem_id=f"{slug}-scheduler", **_HIDDEN,
            ),
            gr.Radio(
                list(METHODS), value=METHODS[index], label=f"Method {name}",
                elem_id=f"{slug}-method", **_HIDDEN,
            ),
            ui.slider(
                1, limits.captions, CAPTION.count, step=1, label=f"Captions {name}",
                elem_id=f"{slug}-captions", **_HIDDEN,
            ),
        )  # fmt: skip


def build_output(side: Side) -> Output:
    name = NAMES[side]
    slug = f"compare-{name.lower()}"
    with gr.Column(min_width=300):
        return Output(
            ui.status_line(),
            gr.Textbox(
                label=f"Text {name}", lines=8, max_lines=20, interactive=False, buttons=["copy"],
                elem_id=f"{slug}-text",
            ),
            gr.Gallery(
                label=f"Picture {name}", columns=1, height=None, object_fit="contain",
                elem_id=f"{slug}-painting", **ui.PICTURES, **_HIDDEN,
            ),
            gr.Dataframe(
                headers=["caption", "probability"], datatype="str", interactive=False, wrap=True,
                label=f"Captions of {name}", column_widths=["75%", "25%"],
                elem_id=f"{slug}-table", **_HIDDEN,
            ),
        )  # fmt: skip


def build_findings() -> tuple[Any, ...]:
    verdict_line = gr.Markdown(label="Verdict", elem_id="compare-verdict")
    measures = gr.Markdown(label="Measures", elem_id="compare-measures", elem_classes="facts")
    wipe = gr.ImageSlider(
        label="Wipe: A left, B right", max_height=480, elem_id="compare-wipe", **ui.PICTURES,
        **_HIDDEN,
    )  # fmt: skip
    notes = ui.notes_box()
    receipt = ui.receipt_box("Card of A and B", elem_id="compare-receipt")
    address = ui.link_box(elem_id="compare-link")
    files = ui.files_box(elem_id="compare-files")
    return verdict_line, measures, wipe, notes, receipt, address, files
