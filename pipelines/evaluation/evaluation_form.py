"""The widgets of the panel "On a data set": what an evaluation is given, and its findings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import gradio as gr

from pipelines.datasets.samples import EMBEDDED
from pipelines.evaluation.clips import clip_names
from pipelines.evaluation.extractors import extractor_names
from pipelines.evaluation.features import EMBEDDED_EXTRACTOR
from pipelines.evaluation.request import (
    MOST_MODELS,
    Describing,
    Painting,
    Writing,
)
from pipelines.evaluation.scores import METRICS, metrics_of
from pipelines.evaluation.setup import UPLOAD, Setup
from pipelines.hub import names_here
from pipelines.image_captioning.pipeline import METHODS
from pipelines.page import ui
from pipelines.settings import Settings
from pipelines.tasks import TASKS, Task
from pipelines.validation import OWN

_SHOWN_SAMPLES = 256
_DESCRIBING, _PAINTING, _WRITING = Describing(), Painting(), Writing()
_OF_TASKS = sorted({name for record in TASKS.values() for name in record.evaluated})
"""The settings that not every task has."""
_USUAL_DATA = {"texts": "shakespeare", "captioned pictures": "emoji-scenes"}
"""The data set that a task begins with, by what its models learn from."""


class Given(NamedTuple):
    """What an evaluation is started with, in the order of the handler's parameters."""

    task: gr.Radio
    data: gr.Dropdown
    models: gr.Dropdown
    sample_size: gr.Slider
    metrics: gr.Dropdown
    seed: gr.Number
    max_new_tokens: gr.Slider
    temperature: gr.Slider
    method: gr.Radio
    steps: gr.Slider
    guidance_scale: gr.Slider
    clip: gr.Dropdown
    upload: gr.File
    extractor: gr.Dropdown


@dataclass(frozen=True)
class Results:
    """Where the results are shown."""

    status: gr.HTML
    verdict: gr.Textbox
    scores: gr.Dataframe
    notes: gr.Textbox
    quality: gr.Image
    distribution: gr.Image
    comparisons: gr.Dataframe
    costs: gr.Dataframe
    gallery: gr.Gallery
    differing: gr.Dataframe
    to_keep: gr.File
    training: gr.Image
    address: gr.Textbox

    @property
    def outputs(self) -> list[Any]:
        return list(vars(self).values())


def build_choice(settings: Settings) -> tuple[gr.Radio, gr.Dropdown, gr.File, gr.Dropdown]:
    sets = [*((_label_of(name), name) for name in EMBEDDED), ("A file of mine", UPLOAD)]
    return (
        ui.task_picker(elem_id="evaluate-task"),
        gr.Dropdown(
            sets, value=_usual_data(ui.FIRST), label="Data set", allow_custom_value=True,
            info="A data set of the Hub can be typed: owner/name or owner/name@revision",
            interactive=True, elem_id="evaluate-data",
        ),
        gr.File(
            label="Texts (.txt: lines, or paragraphs), or pictures with captions (.zip)",
            file_types=[".txt", ".jsonl", ".zip"], visible=False, elem_id="evaluate-upload",
        ),
        ui.models_picker(
            settings, MOST_MODELS,
            "One alone, or up to 8: the first is what the others are compared with. A Hub "
            "reference can be typed.",
            elem_id="evaluate-models",
        ),
    )  # fmt: skip


def _label_of(name: str) -> str:
    kind = "pictures with captions" if EMBEDDED[name].is_dir() else "texts"
    return f"Embedded: {name} ({kind})"


def build_size() -> gr.Slider:
    return ui.slider(
        2, _SHOWN_SAMPLES, 64, step=1, label="Samples", elem_id="evaluate-samples",
        info="More samples, smaller differences can be shown",
    )  # fmt: skip


def build_settings(settings: Settings) -> list[Any]:
    limits, clips = settings.limits, clip_names(settings)
    with gr.Accordion("Settings", open=False):
        return [
            gr.Dropdown(
                _metric_choices(ui.FIRST), value=_default_metrics(ui.FIRST),
                multiselect=True, allow_custom_value=True, interactive=True, label="Metrics",
                elem_id="evaluate-metrics",
                info="The first decides which samples are shown as differing most",
            ),
            ui.number(
                value=0, precision=0, label="Seed", info="Draws the samples, and what models draw",
                elem_id="evaluate-seed",
            ),
            ui.slider(
                1, limits.new_tokens, _WRITING.max_new_tokens, step=1, label="New tokens",
                elem_id="evaluate-tokens",
            ),
            ui.slider(0, 2, _WRITING.temperature, step=0.05, label="Temperature",
                      info="Of sampling", elem_id="evaluate-temperature"),
            gr.Radio(list(METHODS), value=_DESCRIBING.method, label="Method", visible=False,
                     elem_id="evaluate-method"),
            ui.slider(OWN, limits.steps, _PAINTING.steps, step=1, label="Steps",
                      info="-1: each model's own", visible=False, elem_id="evaluate-steps"),
            ui.slider(OWN, limits.guidance_scale, _PAINTING.guidance_scale, step=0.5,
                      label="Guidance scale", info="1 or less: not guided; -1: each model's own",
                      visible=False, elem_id="evaluate-guidance"),
            gr.Dropdown(
                clips, value=clips[0] if clips else None, interactive=True,
                label="CLIP model for CLIPScore and recall", allow_custom_value=True,
                elem_id="evaluate-clip", info="A Hub reference can be typed", visible=False,
            ),
            gr.Dropdown(
                [EMBEDDED_EXTRACTOR], value=EMBEDDED_EXTRACTOR, visible=False,
                label="Extractor for KID, FID and diversity", interactive=True,
                allow_custom_value=True,  # the pipeline's own words for a wrong one
                elem_id="evaluate-extractor",
            ),
        ]  # fmt: skip


def build_results() -> Results:
    tables: dict[str, Any] = {"datatype": "str", "interactive": False, "wrap": True}
    status = ui.status_line()
    verdict = gr.Textbox(
        label="Conclusion", interactive=False, visible=False, lines=1, max_lines=12,
        elem_id="evaluate-verdict",
    )  # fmt: skip
    scores = gr.Dataframe(label="Scores", visible=False, elem_id="evaluate-scores", **tables)
    notes = ui.notes_box()
    with gr.Row(equal_height=False):
        looks = {**ui.PICTURES, "visible": False, "elem_classes": "figure"}
        quality = gr.Image(label="Quality against cost", elem_id="evaluate-quality", **looks)
        spread = gr.Image(label="Score distribution", elem_id="evaluate-distribution", **looks)
    training = gr.Image(label="Training curves", elem_id="evaluate-training", **looks)
    comparisons = gr.Dataframe(
        label="Differences from the first model", visible=False, elem_id="evaluate-differences",
        **tables,
    )  # fmt: skip
    costs = gr.Dataframe(label="Cost", visible=False, elem_id="evaluate-costs", **tables)
    gallery = gr.Gallery(
        label="Samples that differ most", columns=4, object_fit="contain", visible=False,
        elem_id="evaluate-gallery", **ui.PICTURES,
    )  # fmt: skip
    differing = gr.Dataframe(
        label="Samples that differ most", visible=False, elem_id="evaluate-differing", **tables
    )
    address = ui.link_box(elem_id="evaluate-link")
    to_keep = ui.files_box(elem_id="evaluate-files")
    return Results(
        status, verdict, scores, notes, quality, spread, comparisons, costs, gallery, differing,
        to_keep, training, address,
    )  # fmt: skip


def _metric_choices(task: Task) -> list[tuple[str, str]]:
    return [(METRICS[name].label, name) for name in metrics_of(task)]


def _default_metrics(task: Task) -> list[str]:
    return list(metrics_of(task, defaults_only=True))


def _usual_data(task: Task) -> str:
    return _USUAL_DATA[TASKS[task].trains_on]


def fitting_data(task: Task, chosen: object) -> dict[str, Any]:
    """The task's own data set, where another of the embedded ones is chosen."""
    return gr.update(value=_usual_data(task)) if chosen in EMBEDDED else gr.skip()


def switch(settings: Settings, given: Given, task: Task) -> dict[Any, Any]:
    """Offers what the task has: its models, its metrics, its settings."""
    names = names_here(settings, task)
    record = TASKS[task]
    extractors = extractor_names(settings) if record.makes == "pictures" else [EMBEDDED_EXTRACTOR]
    defaults = _WRITING if record.makes == "text" else _DESCRIBING
    fields = given._asdict()
    own = {fields[name]: gr.update(visible=name in record.evaluated) for name in _OF_TASKS}
    own[given.max_new_tokens]["value"] = defaults.max_new_tokens
    own[given.temperature]["value"] = defaults.temperature
    return {
        given.models: gr.update(choices=names, value=names[:2]),
        given.metrics: gr.update(choices=_metric_choices(task), value=_default_metrics(task)),
        **own,
        given.clip: gr.update(visible=record.trains_on == "captioned pictures"),
        given.extractor: gr.update(choices=extractors, visible=len(extractors) > 1),
    }


def opened(settings: Settings, given: Given, setup: Setup) -> dict[Any, Any]:
    """The task's panel with every field as a card or a link has it; nothing runs by itself."""
    request = setup.request
    changed = switch(settings, given, request.task)
    settings_of = {name: getattr(request.settings, name) for name in TASKS[request.task].evaluated}
    own = {name: OWN if value is None else value for name, value in settings_of.items()}
    asked: dict[str, Any] = {
        "task": request.task, "data": setup.data, "models": list(request.models),
        "sample_size": request.sample_size, "metrics": list(request.metrics),
        "seed": request.seed, "upload": None,
    }  # fmt: skip
    looking = {"clip": request.clip, "extractor": request.extractor}
    values = asked | own | {name: value for name, value in looking.items() if value is not None}
    fields = given._asdict()
    for name, value in values.items():
        widget = fields[name]
        changed[widget] = {**changed.get(widget, gr.update()), "value": value}
        if isinstance(widget, gr.Slider):  # beyond its end a slider would say less than was asked
            changed[widget]["maximum"] = max(widget.maximum, value)
    changed[given.upload]["visible"] = setup.data == UPLOAD
    extractor = changed[given.extractor]
    extractor["visible"] |= request.extractor not in (None, EMBEDDED_EXTRACTOR)
    return changed
