"""The panel "On a data set": widgets and one handler. It formats; the pipeline decides."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from PIL import Image

from pipelines import ui
from pipelines.errors import InvalidValue, abbreviated
from pipelines.events import Progress, with_result
from pipelines.hub import Task, names_here
from pipelines.image_captioning.pipeline import METHODS
from pipelines.model_comparison.evaluation import files, plots
from pipelines.model_comparison.evaluation.card import card
from pipelines.model_comparison.evaluation.data import EMBEDDED, DataSet
from pipelines.model_comparison.evaluation.extractors import extractor_names
from pipelines.model_comparison.evaluation.features import clip_names
from pipelines.model_comparison.evaluation.pipeline import generate
from pipelines.model_comparison.evaluation.request import (
    DEFAULT_METRICS,
    EMBEDDED_EXTRACTOR,
    METRICS,
    MOST_MODELS,
    OF_CLIP,
    TASKS,
    Describing,
    EvaluationRequest,
    Generation,
    Painting,
    Writing,
)
from pipelines.model_comparison.evaluation.result import EvaluationResult, PartialScores
from pipelines.model_comparison.evaluation.scores import METRICS as KNOWN
from pipelines.model_comparison.evaluation.sources import in_file, named
from pipelines.model_comparison.evaluation.tables import (
    Table,
    comparison_table,
    cost_table,
    differing_table,
    partial_table,
    score_table,
)
from pipelines.settings import Settings
from pipelines.streaming import stream
from pipelines.studio import Studio

UPLOAD = "upload"
_SHOWN_SAMPLES = 256
_DESCRIBING, _PAINTING, _WRITING = Describing(), Painting(), Writing()


class _Given(NamedTuple):
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
class _Found:
    """Where the findings go."""

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

    @property
    def outputs(self) -> list[Any]:
        return list(vars(self).values())


def build(studio: Studio, compute: dict[str, Any]) -> None:
    """Adds the panel's content to the current block.

    Args:
        compute: queue options that all computing handlers share.
    """
    lead = (
        "Several models on the same samples: scores with intervals, and whether the models differ "
        "from the first. What is computed is kept; stop and go on when you like."
    )
    gr.Markdown(lead, elem_classes="lead")
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=300):
            task, data, upload, models = _build_choice(studio.settings)
        with gr.Column(scale=2, min_width=300):
            with gr.Row():
                run = gr.Button("Evaluate", variant="primary", elem_id="evaluate-run", scale=2)
                stop = gr.Button("Stop", variant="stop", elem_id="evaluate-stop", scale=1)
            size = ui.slider(
                2, _SHOWN_SAMPLES, 64, step=1, label="Samples", elem_id="evaluate-samples",
                info="More samples, smaller differences can be shown",
            )  # fmt: skip
            *settings, extractor = _build_settings(studio.settings)
    given = _Given._make([task, data, models, size, *settings, upload, extractor])
    found = _build_findings()
    started = run.click(
        _handler(studio, found), list(given), found.outputs, api_name="evaluate",
        show_progress="minimal", show_progress_on=[found.status], **compute,
    )  # fmt: skip
    ui.wire_stop(stop, [started], [found.status])
    data.change(lambda name: gr.update(visible=name == UPLOAD), [data], [upload], **ui.FREE)
    switched = _switch(studio.settings, given, "describe")
    task.change(
        lambda chosen: _switch(studio.settings, given, chosen), [task], list(switched), **ui.FREE
    )


def _build_choice(settings: Settings) -> tuple[gr.Radio, gr.Dropdown, gr.File, gr.Dropdown]:
    sets = [*((f"Embedded: {name}", name) for name in EMBEDDED), ("A file of mine", UPLOAD)]
    names = names_here(settings, "describe")
    return (
        gr.Radio(
            [(task.capitalize(), task) for task in TASKS], value="describe", label="Task",
            elem_id="evaluate-task",
        ),
        gr.Dropdown(
            sets, value=sets[0][1], label="Data set", allow_custom_value=True, interactive=True,
            info="A data set of the Hub can be typed: owner/name or owner/name@revision",
            elem_id="evaluate-data",
        ),
        gr.File(
            label="Texts (.txt: lines, or paragraphs), or pictures (.zip with metadata.jsonl)",
            file_types=[".txt", ".jsonl", ".zip"], visible=False, elem_id="evaluate-upload",
        ),
        gr.Dropdown(
            names, value=names[:2], multiselect=True, max_choices=MOST_MODELS, label="Models",
            allow_custom_value=True, interactive=True, elem_id="evaluate-models",
            info="The first is what the others are compared with. A Hub reference can be typed.",
        ),
    )  # fmt: skip


def _build_settings(settings: Settings) -> list[Any]:
    limits, clips = settings.limits, clip_names(settings)
    with gr.Accordion("Settings", open=False):
        return [
            gr.Dropdown(
                _metric_choices("describe"), value=list(DEFAULT_METRICS["describe"]),
                multiselect=True, allow_custom_value=True, interactive=True, label="Metrics",
                elem_id="evaluate-metrics", info="Models are told apart by the first",
            ),
            ui.number(
                value=0, precision=0, label="Seed", info="Draws the samples, and what models draw",
                elem_id="evaluate-seed",
            ),
            ui.slider(
                1, limits.new_tokens, _DESCRIBING.max_new_tokens, step=1, label="New tokens",
                elem_id="evaluate-tokens",
            ),
            ui.slider(0, 2, _DESCRIBING.temperature, step=0.05, label="Temperature",
                      info="Of sampling", elem_id="evaluate-temperature"),
            gr.Radio(list(METHODS), value=_DESCRIBING.method, label="Method",
                     elem_id="evaluate-method"),
            ui.slider(0, limits.steps, _PAINTING.steps, step=1, label="Steps",
                      info="0: the model's own", visible=False, elem_id="evaluate-steps"),
            ui.slider(0, limits.guidance_scale, _PAINTING.guidance_scale, step=0.5,
                      label="Guidance scale", info="1 or less: not guided", visible=False,
                      elem_id="evaluate-guidance"),
            gr.Dropdown(
                clips, value=clips[0] if clips else None, label="CLIP model for CLIPScore",
                interactive=True, allow_custom_value=True, elem_id="evaluate-clip",
            ),
            gr.Dropdown(
                [EMBEDDED_EXTRACTOR], value=EMBEDDED_EXTRACTOR, visible=False,
                label="Extractor for KID, FID and diversity", interactive=True,
                allow_custom_value=True,  # the pipeline's own words for a wrong one
                elem_id="evaluate-extractor",
            ),
        ]  # fmt: skip


def _build_findings() -> _Found:
    tables: dict[str, Any] = {"datatype": "str", "interactive": False, "wrap": True}
    status = ui.status_line()
    verdict = gr.Textbox(
        label="What was shown", interactive=False, visible=False, lines=1, max_lines=12,
        elem_id="evaluate-verdict",
    )  # fmt: skip
    scores = gr.Dataframe(label="Scores", visible=False, elem_id="evaluate-scores", **tables)
    notes = ui.notes_box()
    with gr.Row(equal_height=False):
        looks: dict[str, Any] = {"interactive": False, "visible": False, "format": "png"}
        quality = gr.Image(label="Quality against cost", elem_id="evaluate-quality", **looks)
        spread = gr.Image(label="Over the samples", elem_id="evaluate-distribution", **looks)
    comparisons = gr.Dataframe(
        label="Differences from the first model", visible=False, elem_id="evaluate-differences",
        **tables,
    )  # fmt: skip
    costs = gr.Dataframe(label="Cost", visible=False, elem_id="evaluate-costs", **tables)
    gallery = gr.Gallery(
        label="Samples that differ most", columns=4, object_fit="contain", format="png",
        interactive=False, visible=False, elem_id="evaluate-gallery",
    )  # fmt: skip
    differing = gr.Dataframe(
        label="Samples that differ most", visible=False, elem_id="evaluate-differing", **tables
    )
    to_keep = gr.File(
        label="To keep and to publish", file_count="multiple", interactive=False, visible=False,
        elem_id="evaluate-files",
    )  # fmt: skip
    return _Found(
        status, verdict, scores, notes, quality, spread, comparisons, costs, gallery, differing,
        to_keep,
    )  # fmt: skip


def _handler(studio: Studio, found: _Found) -> Callable[..., Iterator[dict[Any, Any]]]:
    @ui.shows_errors
    def run(
        task: Any, data: str, models: list[str], sample_size: int, metrics: list[str], seed: int,
        max_new_tokens: int, temperature: float, method: str, steps: int, guidance_scale: float,
        clip: str | None = None, upload: str | None = None, extractor: str | None = None,
    ) -> Iterator[dict[Any, Any]]:  # fmt: skip
        """Holds models against the first of them on a data set; streams scores, then all findings.

        Args:
            task: "write", "describe" or "paint"; settings of the other tasks are not read.
            data: "emoji-scenes", a data set of the Hub (owner/name@revision), or "upload".
            models: two to eight models of this page or Hub references.
            sample_size: how many samples to draw.
            metrics: names of metrics of the task; none for the usual ones.
            seed: of the draw and of what models draw.
            max_new_tokens: for write and describe.
            temperature: for write and describe: from 0 to 5.
            method: for describe: "beams" or "sampling".
            steps: for paint: denoising steps.
            guidance_scale: for paint: how closely to follow the prompt.
            clip: for the metrics of CLIPScore: a CLIP model of this page; none for the embedded.
            upload: a .txt file of texts, or a .zip of pictures with metadata.jsonl.
            extractor: for KID, FID and diversity: "emoji-captioner", or "InceptionV3-2015-12-05"
                where its weights are on this machine; none for the first.
        """
        settings = _settings(task, max_new_tokens, temperature, method, steps, guidance_scale)

        def whole() -> Generator[Any, None, EvaluationResult]:
            request = EvaluationRequest(
                task, (yield from _data(data, upload, studio.settings)),
                _listed("models", models), _listed("metrics", metrics), sample_size, seed,
                settings, clip if set(OF_CLIP) & set(metrics or []) else None,
                extractor,
            )  # fmt: skip
            return (yield from generate(studio, request))

        with closing(with_result(whole())) as events:
            yield from _updates(found, events, studio.settings)

    return run


def _listed(name: str, values: Any) -> tuple[str, ...]:
    if values is None:
        return ()
    if not isinstance(values, list | tuple):
        raise InvalidValue(f"{name} are {abbreviated(values)}; give a list.")
    return tuple(values)


def _settings(
    task: object, max_new_tokens: int, temperature: float, method: str, steps: int,
    guidance_scale: float,
) -> Generation | None:  # fmt: skip
    """Those of the task; None where there is no such task, which the request's check tells."""
    if task == "write":
        return Writing(max_new_tokens=max_new_tokens, temperature=temperature)
    if task == "describe":
        return Describing(method, temperature, max_new_tokens)
    return Painting(steps, guidance_scale) if task == "paint" else None


def _data(name: object, upload: str | None, settings: Settings) -> Generator[Any, None, DataSet]:
    """The data set of that name, or the one in an uploaded file."""
    if name != UPLOAD:
        return (yield from stream(lambda emit: named(name, settings, emit), may_go_on=True))
    if not upload:
        raise InvalidValue("There is no file yet. Upload one, or choose another data set.")
    path = Path(upload)  # Gradio has checked that it is of an upload
    return (yield from stream(lambda emit: in_file(path, settings, emit), may_go_on=True))


def _updates(found: _Found, events: Iterator[Any], settings: Settings) -> Iterator[dict[Any, Any]]:
    """What each event changes on the page, and at the end the whole of it."""
    partial: dict[str, PartialScores] = {}
    pace = ui.Pace(0.25)
    cleared = dict.fromkeys(found.outputs, gr.update(value=None, visible=False))
    yield cleared | {found.status: ui.done("Getting ready"), found.notes: ui.notes_text([])}
    for item in events:
        if isinstance(item, EvaluationResult):
            yield _ending(found, item, settings)
        elif isinstance(item, PartialScores):
            partial[item.model] = item
            yield {found.scores: gr.update(value=_as_value(partial_table(partial)), visible=True)}
        elif isinstance(item, Progress) and (item.fraction is None or pace.is_due()):
            yield {found.status: ui.progress_bar(item)}


def _ending(found: _Found, result: EvaluationResult, settings: Settings) -> dict[Any, Any]:
    made = card(result)
    folder = settings.data_dir / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    paths = files.write(result, Path(tempfile.mkdtemp(prefix="evaluation-", dir=folder)))
    kept = {path.name: str(path) for path in paths}
    computed = sum(model.computed for model in result.models)
    return {
        found.status: ui.done(f"Done · {computed} samples computed now"),
        found.verdict: _shown(result.verdict),
        found.scores: _shown(_as_value(score_table(made))),
        found.notes: ui.notes_text(list(result.notes)),
        found.quality: _shown(kept.get(plots.QUALITY)),
        found.distribution: _shown(kept.get(plots.DISTRIBUTION)),
        found.comparisons: _shown(_as_value(comparison_table(made))),
        found.costs: _shown(_as_value(cost_table(made))),
        found.gallery: _shown(_pictures(result)),
        found.differing: _shown(_as_value(differing_table(made))),
        found.to_keep: _shown(list(kept.values())),
    }


def _shown(value: Any) -> dict[str, Any]:
    """An update that shows what there is to show."""
    update: dict[str, Any] = gr.update(value=value or None, visible=bool(value))
    return update


def _as_value(table: Table) -> dict[str, Any] | None:
    headers, rows = table
    return {"headers": headers, "data": rows} if rows else None


def _pictures(result: EvaluationResult) -> list[tuple[Image.Image, str]]:
    """The described pictures, or of each prompt what every model painted."""
    shown = []
    for differing in result.differing:
        sample, place = differing.sample, differing.place
        if result.request.task == "describe" and sample.file is not None:
            shown.append((_opened(sample.file), sample.name))
        if result.request.task == "paint":
            for model in result.models:
                caption = f"{model.name}: {sample.text}"
                shown.append((_opened(model.evidence.files[place]), caption))
    return shown


def _opened(file: Path) -> Image.Image:
    with Image.open(file) as picture:
        return picture.convert("RGB")


def _metric_choices(task: Task) -> list[tuple[str, str]]:
    return [(KNOWN[name].label, name) for name in METRICS[task]]


def _switch(settings: Settings, given: _Given, task: Task) -> dict[Any, Any]:
    """Offers what the task has: its models, its metrics, its settings."""
    names = names_here(settings, task)
    extractors = extractor_names(settings) if task == "paint" else [EMBEDDED_EXTRACTOR]
    tokens = _WRITING.max_new_tokens if task == "write" else _DESCRIBING.max_new_tokens
    temperature = _WRITING.temperature if task == "write" else _DESCRIBING.temperature
    return {
        given.models: gr.update(choices=names, value=names[:2]),
        given.metrics: gr.update(choices=_metric_choices(task), value=list(DEFAULT_METRICS[task])),
        given.max_new_tokens: gr.update(value=tokens, visible=task != "paint"),
        given.temperature: gr.update(value=temperature, visible=task != "paint"),
        given.method: gr.update(visible=task == "describe"),
        given.steps: gr.update(visible=task == "paint"),
        given.guidance_scale: gr.update(visible=task == "paint"),
        given.clip: gr.update(visible=task in ("paint", "describe")),
        given.extractor: gr.update(choices=extractors, visible=len(extractors) > 1),
    }
