"""The panel "On a data set": what happens on it. It formats; the pipeline decides."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from pipelines.datasets.samples import DataSet
from pipelines.datasets.sources import in_file, named
from pipelines.errors import InvalidValue, abbreviated
from pipelines.evaluation import link, plots, report
from pipelines.evaluation.card import card
from pipelines.evaluation.evaluation_form import (
    Given,
    Results,
    build_choice,
    build_results,
    build_settings,
    build_size,
    fitting_data,
    opened,
    switch,
)
from pipelines.evaluation.pipeline import generate
from pipelines.evaluation.replay import EVALUATION
from pipelines.evaluation.request import EvaluationRequest, Generation, settings_from
from pipelines.evaluation.result import EvaluationResult, PartialScores
from pipelines.evaluation.scores import needs_of
from pipelines.evaluation.setup import UPLOAD, Setup, setup_of
from pipelines.evaluation.tables import (
    Table,
    comparison_table,
    cost_table,
    differing_table,
    partial_table,
    score_table,
)
from pipelines.events import Progress, with_result
from pipelines.files.temporary import new_folder
from pipelines.page import ui
from pipelines.runtime.streaming import stream
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.sharing.cards import Opening
from pipelines.sharing.links import address
from pipelines.tasks import TASKS


def build(studio: Studio, compute: dict[str, Any]) -> Opening:
    """Adds the panel's content to the current block.

    Args:
        compute: queue options that all computing handlers share.

    Returns:
        How cards and links open it.
    """
    lead = (
        "Several models on the same samples: scores with intervals, and whether the models differ "
        "from the first. Finished samples are stored: stop at any time and go on later."
    )
    gr.Markdown(lead, elem_classes="lead")
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=300):
            task, data, upload, models = build_choice(studio.settings)
        with gr.Column(scale=2, min_width=300):
            run, stop = ui.run_buttons("Evaluate", "evaluate")
            card_button = ui.card_button(elem_id="evaluate-open")
            size = build_size()
            *settings, extractor = build_settings(studio.settings)
    given = Given._make([task, data, models, size, *settings, upload, extractor])
    results = build_results()
    evaluate = _handler(studio, results)
    started = run.click(
        evaluate, list(given), results.outputs, **ui.endpoint("evaluate", evaluate),
        **ui.run_options(compute, results.status),
    )  # fmt: skip
    ui.wire_stop(stop, [started], [results.status])
    data.change(lambda name: gr.update(visible=name == UPLOAD), [data], [upload], **ui.FREE)
    # Not whenever the task changes: a card or a link sets models beside it, which have to stay.
    task.input(
        lambda chosen, name: {
            **switch(studio.settings, given, chosen), data: fitting_data(chosen, name)
        },
        [task, data], [*switch(studio.settings, given, ui.FIRST), data], **ui.FREE,
    )  # fmt: skip

    def fill(setup: Setup) -> dict[Any, Any]:
        cleared = _cleared(results, "Ready")
        notes = {results.notes: ui.notes_text(list(setup.notes))}
        return {**opened(studio.settings, given, setup), **cleared, **notes}

    return Opening(EVALUATION, fill, [*given, *results.outputs], card_button)


def _handler(studio: Studio, results: Results) -> Callable[..., Iterator[dict[Any, Any]]]:
    @ui.shows_errors
    def run(
        task: Any, data: str, models: list[str], sample_size: int, metrics: list[str], seed: int,
        max_new_tokens: int, temperature: float, method: str, steps: int, guidance_scale: float,
        clip: str | None = None, upload: str | None = None, extractor: str | None = None,
    ) -> Iterator[dict[Any, Any]]:  # fmt: skip
        """Holds models against the first of them on a data set; streams scores, then all findings.

        Args:
            task: "write", "describe" or "paint"; settings of the other tasks are not read.
            data: "emoji-scenes" (pictures with captions), "shakespeare" (texts), a data set of
                the Hub (owner/name@revision), or "upload".
            models: one to eight models of this page or Hub references.
            sample_size: how many samples to draw.
            metrics: names of metrics of the task; none for the usual ones.
            seed: of the draw and of what models draw.
            max_new_tokens: for write and describe.
            temperature: for write and describe: from 0 to 5.
            method: for describe: "beams" or "sampling".
            steps: for paint: denoising steps; -1 for each model's own.
            guidance_scale: for paint: how closely to follow the prompt; 1 or less for not at
                all, -1 for each model's own.
            clip: for CLIPScore and recall: a CLIP model of this page or a Hub reference; none for
                the embedded one.
            upload: a .txt file of texts, or a .zip of pictures with metadata.jsonl.
            extractor: for KID, FID and diversity: "emoji-captioner", or "InceptionV3-2015-12-05"
                where its weights are on this machine; none for the first.
        """
        settings = _settings(
            task,
            max_new_tokens=max_new_tokens, temperature=temperature, method=method, steps=steps,
            guidance_scale=guidance_scale,
        )  # fmt: skip

        def whole() -> Generator[Any, None, EvaluationResult]:
            request = EvaluationRequest(
                task, (yield from _data(data, upload, studio.settings)),
                _listed("models", models), _listed("metrics", metrics), sample_size, seed,
                settings, clip if "clip" in needs_of(metrics or []) else None, extractor,
            )  # fmt: skip
            return (yield from generate(studio, request))

        with closing(with_result(whole())) as events:
            yield from _updates(results, events, studio.settings)

    return run


def _listed(name: str, values: Any) -> tuple[str, ...]:
    if values is None:
        return ()
    if not isinstance(values, list | tuple):
        raise InvalidValue(f"{name} are {abbreviated(values)}; give a list.")
    return tuple(values)


def _settings(task: object, **fields: Any) -> Generation | None:
    """The settings of the task; None for an unknown one, which the request's check refuses."""
    record = next((each for name, each in TASKS.items() if name == task), None)
    if record is None:
        return None
    return settings_from(record.name, {name: fields[name] for name in record.evaluated})


def _data(name: object, upload: str | None, settings: Settings) -> Generator[Any, None, DataSet]:
    """The data set of that name, or the one in an uploaded file."""
    if name != UPLOAD:
        return (yield from stream(lambda emit: named(name, settings, emit), may_go_on=True))
    if not upload:
        raise InvalidValue("There is no file yet. Upload one, or choose another data set.")
    path = Path(upload)  # Gradio has checked that it is of an upload
    return (yield from stream(lambda emit: in_file(path, settings, emit), may_go_on=True))


def _updates(
    results: Results, events: Iterator[Any], settings: Settings
) -> Iterator[dict[Any, Any]]:
    """What each event changes on the page, and at the end the whole of it."""
    partial: dict[str, PartialScores] = {}
    pace = ui.Pace(0.25)
    yield _cleared(results, "Getting ready")
    for item in events:
        if isinstance(item, EvaluationResult):
            yield _ending(results, item, settings)
        elif isinstance(item, PartialScores):
            partial[item.model] = item
            yield {results.scores: gr.update(value=_as_value(partial_table(partial)), visible=True)}
        elif isinstance(item, Progress) and (item.fraction is None or pace.is_due()):
            yield {results.status: ui.progress_bar(item)}


def _cleared(results: Results, status: str) -> dict[Any, Any]:
    """Nothing of an earlier evaluation stays beside the new one."""
    cleared: dict[Any, Any] = dict.fromkeys(results.outputs, ui.shown(None))
    return cleared | {results.status: ui.done(status), results.notes: ui.notes_text([])}


def _ending(results: Results, result: EvaluationResult, settings: Settings) -> dict[Any, Any]:
    made = card(result)
    paths = report.write(result, new_folder(settings.temporary_dir, "evaluation"))
    kept = {path.name: str(path) for path in paths}
    computed = sum(model.computed for model in result.models)
    opened_by, why_not = address(
        link.PARAMETER, lambda: link.encode(setup_of(made, settings.limits))
    )
    differing = _as_value(differing_table(made))
    return {
        results.status: ui.done(f"Done · {computed} samples computed now"),
        results.verdict: ui.shown(result.verdict),
        results.scores: ui.shown(_as_value(score_table(made))),
        results.notes: ui.notes_text([*result.notes, *([why_not] if why_not else [])]),
        results.quality: ui.shown(kept.get(plots.QUALITY)),
        results.distribution: ui.shown(kept.get(plots.DISTRIBUTION)),
        results.comparisons: ui.shown(_as_value(comparison_table(made))),
        results.costs: ui.shown(_as_value(cost_table(made))),
        results.gallery: ui.shown(_pictures(result)),
        results.differing: ui.shown(differing) | {"column_widths": _widths(differing)},
        results.to_keep: ui.shown(list(kept.values())),
        results.training: ui.shown(kept.get(plots.TRAINING)),
        results.address: ui.shown(opened_by),
    }


def _widths(table: dict[str, Any] | None) -> list[str] | None:
    """Of a sample's name, its text, and one column for each model: all are seen at once."""
    models = len(table["headers"]) - 2 if table else 0
    return ["12%", "28%", *[f"{60 / models:.1f}%"] * models] if models else None


def _as_value(table: Table) -> dict[str, Any] | None:
    headers, rows = table
    return {"headers": headers, "data": rows} if rows else None


def _pictures(result: EvaluationResult) -> list[tuple[Image.Image, str]]:
    """The described pictures, or of each prompt what every model painted."""
    task, shown = TASKS[result.request.task], []
    for differing in result.differing:
        sample, place = differing.sample, differing.place
        if task.takes == "picture" and sample.file is not None:
            shown.append((_opened(sample.file), sample.name))
        if task.makes == "pictures":
            for model in result.models:
                caption = f"{model.name}: {sample.text}"
                shown.append((_opened(model.outputs.files[place]), caption))
    return shown


def _opened(file: Path) -> Image.Image:
    with Image.open(file) as picture:
        return picture.convert("RGB")
