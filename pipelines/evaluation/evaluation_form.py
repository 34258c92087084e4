"""The widgets of the panel "On a data set": an evaluation's inputs and its results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from pipelines.datasets.samples import EMBEDDED
from pipelines.evaluation.clips import clip_names
from pipelines.evaluation.extractors import extractor_names
from pipelines.evaluation.features import EMBEDDED_EXTRACTOR
from pipelines.evaluation.request import MOST_MODELS, SETTINGS
from pipelines.evaluation.scores import METRICS, metrics_of
from pipelines.evaluation.setup import UPLOAD, Setup
from pipelines.hub import names_here
from pipelines.page import ui
from pipelines.settings import Settings
from pipelines.sharing.settings_form import about, filled_in, later, offered, widget
from pipelines.tasks import TASKS, Task
from pipelines.validation import OWN

_SHOWN_SAMPLES = 256
# Painting last: the API has the settings in this order.
_TASKS = sorted(TASKS.values(), key=lambda record: record.makes == "pictures")
_SETTINGS = offered(_TASKS, lambda setting: setting.evaluated == "panel")
_LATER = later(_SETTINGS)
_USUAL_DATA = {"texts": "shakespeare", "captioned pictures": "emoji-scenes"}
"""The data set that a task begins with, by what its models learn from."""

PARAMETERS = {
    "task": '"write", "describe" or "paint"; settings of the other tasks are not read.',
    "data": '"emoji-scenes" (pictures with captions), "shakespeare" (texts), a data set of the Hub '
    '(owner/name@revision), or "upload".',
    "models": "one to eight models of this page or Hub references.",
    "sample_size": "how many samples to draw.",
    "metrics": "names of metrics of the task; none for the usual ones.",
    "seed": "of the draw and of what models draw.",
    **{name: about(rows) for name, rows in _SETTINGS.items() if name not in _LATER},
    "clip": "for CLIPScore and recall: a CLIP model of this page or a Hub reference; none for the "
    "embedded one.",
    "upload": "a .txt file of texts, or a .zip of pictures with their captions.",
    "extractor": 'for KID, FID and diversity: "emoji-captioner", or "InceptionV3-2015-12-05" where '
    "its weights are on this machine; none for the first.",
    **{name: about(_SETTINGS[name]) for name in _LATER},
}
"""What an evaluation is given, in the order of the API's parameters, and what each is."""
OPTIONAL = ("clip", "upload", "extractor", *_LATER)
_RESULTS = (
    "status", "verdict", "scores", "notes", "quality", "distribution", "comparisons", "costs",
    "gallery", "differing", "files", "training", "link",
)  # fmt: skip
"""In the order of the API's outputs."""

Widgets = dict[str, Any]


def build_choice(settings: Settings) -> Widgets:
    sets = [*((_label_of(name), name) for name in EMBEDDED), ("A file of mine", UPLOAD)]
    return {
        "task": ui.task_picker(elem_id="evaluate-task"),
        "data": ui.dropdown(
            sets, value=_usual_data(ui.FIRST), label="Data set", allow_custom_value=True,
            info="A data set of the Hub can be typed: owner/name or owner/name@revision",
            interactive=True, elem_id="evaluate-data",
        ),
        "upload": gr.File(
            label="Texts (.txt: lines, or paragraphs), or pictures with captions (.zip)",
            file_types=[".txt", ".jsonl", ".zip"], visible=False, elem_id="evaluate-upload",
        ),
        "models": ui.models_picker(
            settings, MOST_MODELS,
            "One alone, or up to 8: the first is what the others are compared with. A Hub "
            "reference can be typed.",
            elem_id="evaluate-models",
        ),
    }  # fmt: skip


def _label_of(name: str) -> str:
    kind = "pictures with captions" if EMBEDDED[name].is_dir() else "texts"
    return f"Embedded: {name} ({kind})"


def build_settings(settings: Settings) -> Widgets:
    clips = clip_names(settings)
    size = ui.slider(
        2, _SHOWN_SAMPLES, 64, step=1, label="Samples", elem_id="evaluate-samples",
        info="More samples, smaller differences can be shown",
    )  # fmt: skip
    with gr.Accordion("Settings", open=False):
        return {
            "sample_size": size,
            "metrics": ui.dropdown(
                _metric_choices(ui.FIRST), value=_default_metrics(ui.FIRST),
                multiselect=True, allow_custom_value=True, interactive=True, label="Metrics",
                elem_id="evaluate-metrics",
                info="The first decides which samples are shown as differing most",
            ),
            "seed": ui.number(
                value=0, precision=0, label="Seed", info="Draws the samples, and what models draw",
                elem_id="evaluate-seed",
            ),
            **{
                name: widget(
                    record, setting, settings.limits, "evaluate",
                    visible=name in TASKS[ui.FIRST].evaluated,
                )
                for name, ((record, setting), *_) in _SETTINGS.items()
            },
            "clip": ui.dropdown(
                clips, value=clips[0] if clips else None, interactive=True,
                label="CLIP model for CLIPScore and recall", allow_custom_value=True,
                elem_id="evaluate-clip", info="A Hub reference can be typed", visible=False,
            ),
            "extractor": ui.dropdown(
                [EMBEDDED_EXTRACTOR], value=EMBEDDED_EXTRACTOR, visible=False,
                label="Extractor for KID, FID and diversity", interactive=True,
                allow_custom_value=True,  # the pipeline's own words for a wrong one
                elem_id="evaluate-extractor",
            ),
        }  # fmt: skip


def build_results() -> Widgets:
    """Where the results are shown, by ``_RESULTS``."""
    looks = {**ui.PICTURES, "visible": False, "elem_classes": "figure"}
    built: Widgets = {"status": ui.status_line()}
    built["verdict"] = gr.Textbox(
        label="Conclusion", interactive=False, visible=False, lines=1, max_lines=12,
        elem_id="evaluate-verdict",
    )  # fmt: skip
    built["scores"] = _table("Scores", "scores")
    built["notes"] = ui.notes_box()
    with gr.Row(equal_height=False):
        for name, label in (
            ("quality", "Quality against cost"), ("distribution", "Score distribution")
        ):  # fmt: skip
            built[name] = gr.Image(label=label, elem_id=f"evaluate-{name}", **looks)
    built["training"] = gr.Image(label="Training curves", elem_id="evaluate-training", **looks)
    built["comparisons"] = _table(
        "Differences from the first model", "differences", (13, 10, 10, 12, 10, 15, 6, 13, 11)
    )
    built["costs"] = _table("Cost", "costs")
    built["gallery"] = gr.Gallery(
        label="Samples that differ most", columns=4, object_fit="contain", visible=False,
        elem_id="evaluate-gallery", **ui.PICTURES,
    )  # fmt: skip
    built["differing"] = _table("Samples that differ most", "differing")
    built["link"] = ui.link_box(elem_id="evaluate-link")
    built["files"] = ui.files_box(elem_id="evaluate-files")
    return {name: built[name] for name in _RESULTS}


def _table(label: str, name: str, widths: Sequence[int] = ()) -> gr.Dataframe:
    """``widths``: of the columns, in percent; else as Gradio divides them."""
    return gr.Dataframe(
        label=label, visible=False, elem_id=f"evaluate-{name}", datatype="str", interactive=False,
        wrap=True, column_widths=[f"{width}%" for width in widths] or None,
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


def switch(settings: Settings, given: Widgets, task: Task) -> dict[Any, Any]:
    """Offers what the task has: its models, its metrics, its settings."""
    names, record = names_here(settings, task), TASKS[task]
    extractors = extractor_names(settings) if record.makes == "pictures" else [EMBEDDED_EXTRACTOR]
    own = {}
    for name, rows in _SETTINGS.items():
        own[given[name]] = gr.update(visible=name in record.evaluated)
        if name in record.evaluated and len(rows) > 1:  # other tasks begin with another value
            own[given[name]]["value"] = getattr(SETTINGS[task](), name)
    return {
        given["models"]: gr.update(choices=names, value=names[:2]),
        given["metrics"]: gr.update(choices=_metric_choices(task), value=_default_metrics(task)),
        **own,
        given["clip"]: gr.update(visible=record.trains_on == "captioned pictures"),
        given["extractor"]: gr.update(choices=extractors, visible=len(extractors) > 1),
    }


def opened(settings: Settings, given: Widgets, setup: Setup) -> dict[Any, Any]:
    """The task's panel with every field as a card or a link has it; nothing runs by itself."""
    request = setup.request
    changed = switch(settings, given, request.task)
    asked = {**vars(request), "data": setup.data, "upload": None}
    values = {name: asked[name] for name in given if name in asked}
    values = {
        name: list(value) if isinstance(value, tuple) else value for name, value in values.items()
        if value is not None or name == "upload"
    }  # fmt: skip
    for name in TASKS[request.task].evaluated:
        value = getattr(request.settings, name)
        values[name] = OWN if value is None else value
    changed = filled_in(changed, {given[name]: value for name, value in values.items()})
    changed[given["upload"]]["visible"] = setup.data == UPLOAD
    extractor = changed[given["extractor"]]
    extractor["visible"] |= request.extractor not in (None, EMBEDDED_EXTRACTOR)
    return changed
