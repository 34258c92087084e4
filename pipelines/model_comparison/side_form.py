"""The widgets of the panel "Side by side": shared inputs, settings of each side, outputs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from pipelines.model_comparison.pipeline import NAMES, SIDES, Side
from pipelines.page import ui
from pipelines.settings import Settings
from pipelines.sharing.settings_form import about, later, offered, widget
from pipelines.tasks import TASKS
from pipelines.text_generation.pipeline import TextResult
from pipelines.text_to_image.files import save_png
from pipelines.text_to_image.pipeline import PaintResult

TALE = "Once upon a time there was a poor fisherman who"
SCENE = "a cat face to the left of a rose on a yellow background"
SETTINGS = offered(TASKS.values(), lambda setting: setting.is_compared)
_OF_SIDE = {
    "model": "a model of this page or a Hub reference, for the task.",
    **{name: about(rows) for name, rows in SETTINGS.items()},
}
_LATER = later(SETTINGS)


def _of_sides(names: Iterable[str]) -> dict[str, str]:
    names = list(names)
    of_a = {f"{name}_a": _OF_SIDE[name] for name in names}
    return of_a | {f"{name}_b": f"as {name}_a." for name in names}


PARAMETERS = {
    "task": '"write", "paint" or "describe"; settings of the other tasks are not read.',
    "prompt": "for write and paint.",
    "seed": "for both sides; -1 for a random one.",
    "max_new_tokens": "for write: how many tokens to add at most, on both sides.",
    **_of_sides(name for name in _OF_SIDE if name not in _LATER),
    "picture": "for describe: an image file.",
    **_of_sides(_LATER),
}
"""What a comparison is given, in the order of the API's parameters, and what each is."""
OPTIONAL = ("picture", *_of_sides(_LATER))
OUTPUTS = {"text": "text", "pictures": "painting", "captions": "table"}
"""The widget of each side that shows what a task makes."""
_HIDDEN: dict[str, Any] = {"visible": False}

Widgets = dict[str, Any]


@dataclass(frozen=True)
class Page:
    """All widgets that a run reads or writes, by name; ``settings`` and ``out`` of each side."""

    given: Widgets
    settings: dict[Side, Widgets]
    out: dict[Side, Widgets]
    results: Widgets

    @property
    def inputs(self) -> list[Any]:
        """In the order of ``PARAMETERS``."""
        sides = {
            f"{name}_{NAMES[side].lower()}": widget
            for side, own in self.settings.items()
            for name, widget in own.items()
        }
        return [(self.given | sides)[name] for name in PARAMETERS]

    @property
    def outputs(self) -> list[Any]:
        """The endpoint's outputs: those of A and B in turn, then the results of the comparison."""
        made = [self.out[side][name] for name in OUTPUTS.values() for side in SIDES]
        shown = [self.results[n] for n in ("verdict", "measures", "wipe", "receipt", "notes")]
        return [*made, *shown, *self.statuses, self.results["link"], self.results["files"]]

    @property
    def statuses(self) -> list[gr.HTML]:
        return [self.out[side]["status"] for side in SIDES]


def beginning(name: str) -> tuple[Any, Any]:
    """What A and B begin with in a setting."""
    (record, setting), *_ = SETTINGS[name]
    usual = record.usual(setting)
    a, b = setting.sides or (usual, usual)
    return a, b


def build_given() -> Widgets:
    return {
        "task": ui.task_picker(elem_id="compare-task"),
        "prompt": ui.textbox(TALE, label="Prompt", lines=3, elem_id="compare-prompt"),
        "picture": ui.picture(elem_id="compare-picture", **_HIDDEN),
    }


def build_run(settings: Settings) -> Widgets:
    return {
        "seed": ui.seed_box(elem_id="compare-seed"),
        "max_new_tokens": ui.slider(
            1, settings.limits.new_tokens, 100, step=1, label="New tokens",
            info="At most so many", elem_id="compare-tokens",
        ),
    }  # fmt: skip


def build_settings(settings: Settings, side: Side) -> Widgets:
    """One side's model and settings, in the order of the handler's parameters."""
    name, index, shown = NAMES[side], SIDES.index(side), TASKS[ui.FIRST].compared
    slug = f"compare-{name.lower()}"
    with gr.Column(min_width=300):
        model = ui.model_picker(settings, ui.FIRST, f"Model {name}", index, elem_id=f"{slug}-model")
        own = {
            field: widget(
                record, setting, settings.limits, slug, label=f"{setting.label} {name}",
                value=beginning(field)[index], visible=setting.name in shown,
            )
            for field, ((record, setting), *_) in SETTINGS.items()
        }  # fmt: skip
    return {"model": model, **own}


def build_output(side: Side) -> Widgets:
    name = NAMES[side]
    slug = f"compare-{name.lower()}"
    with gr.Column(min_width=300):
        return {
            "status": ui.status_line(),
            "text": gr.Textbox(
                label=f"Text {name}", lines=8, max_lines=20, interactive=False, buttons=["copy"],
                elem_id=f"{slug}-text",
            ),
            "painting": gr.Gallery(
                label=f"Picture {name}", columns=1, height=None, object_fit="contain",
                elem_id=f"{slug}-painting", **ui.PICTURES, **_HIDDEN,
            ),
            "table": gr.Dataframe(
                headers=["caption", "probability"], datatype="str", interactive=False, wrap=True,
                label=f"Captions of {name}", column_widths=["75%", "25%"],
                elem_id=f"{slug}-table", **_HIDDEN,
            ),
        }  # fmt: skip


def shown(out: Widgets, result: Any, temporary_dir: Path) -> dict[Any, Any]:
    """One side's output in its widget."""
    if isinstance(result, TextResult):
        return {out["text"]: result.whole(result.prompt)}
    if isinstance(result, PaintResult):
        return {out["painting"]: save_png(result, temporary_dir)}
    rows = [[each.text, f"{100 * each.probability:.1f} %"] for each in result.captions]
    return {out["table"]: rows}


def build_findings() -> Widgets:
    return {
        "verdict": gr.Markdown(label="Verdict", elem_id="compare-verdict"),
        "measures": gr.Markdown(
            label="Measures", elem_id="compare-measures", elem_classes="facts"
        ),
        "wipe": gr.ImageSlider(
            label="Wipe: A left, B right", max_height=480, elem_id="compare-wipe", **ui.PICTURES,
            **_HIDDEN,
        ),
        "notes": ui.notes_box(),
        "receipt": ui.receipt_box("Card of A and B", elem_id="compare-receipt"),
        "link": ui.link_box(elem_id="compare-link"),
        "files": ui.files_box(elem_id="compare-files"),
    }  # fmt: skip
