"""The panel "On a data set": what happens on it. It formats; the pipeline decides."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from pipelines.datasets.sources import in_file, named
from pipelines.errors import InvalidValue
from pipelines.evaluation import evaluation_form as form
from pipelines.evaluation import link, plots, report, tables
from pipelines.evaluation.card import card
from pipelines.evaluation.evaluation_form import Widgets
from pipelines.evaluation.pipeline import generate
from pipelines.evaluation.replay import EVALUATION
from pipelines.evaluation.request import EvaluationRequest, settings_from
from pipelines.evaluation.result import EvaluationResult, PartialScores
from pipelines.evaluation.setup import UPLOAD, Setup, setup_of
from pipelines.events import Progress, with_result
from pipelines.files.temporary import new_folder
from pipelines.page import ui
from pipelines.runtime.streaming import stream
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.sharing.cards import Opening
from pipelines.sharing.links import address
from pipelines.sharing.settings_form import endpoint
from pipelines.validation import known_task


def build(studio: Studio, compute: dict[str, Any]) -> Opening:
    """Adds the panel's content to the current block.

    Args:
        compute: queue options that all computing handlers share.

    Returns:
        How cards and links open it.
    """
    settings = studio.settings
    lead = (
        "Several models on the same samples: scores with intervals, and whether the models differ "
        "from the first. Finished samples are stored: stop at any time and go on later."
    )
    gr.Markdown(lead, elem_classes="lead")
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=300):
            built = form.build_choice(settings)
        with gr.Column(scale=2, min_width=300):
            run, stop = ui.run_buttons("Evaluate", "evaluate")
            card_button = ui.card_button(elem_id="evaluate-open")
            built |= form.build_settings(settings)
    given = {name: built[name] for name in form.PARAMETERS}
    results = form.build_results()
    evaluate = _handler(studio, results)
    started = run.click(
        evaluate, [*given.values()], [*results.values()], **ui.endpoint("evaluate", evaluate),
        **ui.run_options(compute, results["status"]),
    )  # fmt: skip
    ui.wire_stop(stop, [started], [results["status"]])
    task, data, upload = given["task"], given["data"], given["upload"]
    data.change(lambda name: gr.update(visible=name == UPLOAD), [data], [upload], **ui.FREE)
    # Not whenever the task changes: a card or a link sets models beside it, which have to stay.
    task.input(
        lambda chosen, name: {
            **form.switch(settings, given, chosen), data: form.fitting_data(chosen, name)
        },
        [task, data], [*form.switch(settings, given, ui.FIRST), data], **ui.FREE,
    )  # fmt: skip

    def fill(setup: Setup) -> dict[Any, Any]:
        notes = {results["notes"]: ui.notes_text(list(setup.notes))}
        return {**form.opened(settings, given, setup), **_cleared(results, "Ready"), **notes}

    return Opening(EVALUATION, fill, [*given.values(), *results.values()], card_button)


def _handler(studio: Studio, results: Widgets) -> Callable[..., Iterator[dict[Any, Any]]]:
    def run(*values: Any) -> Iterator[dict[Any, Any]]:
        given = dict(zip(form.PARAMETERS, values, strict=True))
        with closing(with_result(_evaluated(studio, given))) as events:
            yield from _updates(results, events, studio.settings)

    does = "Compares models with the first of them on a data set; streams scores, then all results."
    return ui.shows_errors(endpoint(run, does, form.PARAMETERS, form.OPTIONAL))


def _evaluated(studio: Studio, given: dict[str, Any]) -> Generator[Any, None, EvaluationResult]:
    """Reads the data set and evaluates the models on it."""
    record, settings = known_task(given["task"]), studio.settings
    own = settings_from(record.name, {name: given[name] for name in record.evaluated})
    is_upload = given["data"] == UPLOAD
    if is_upload and not given["upload"]:
        raise InvalidValue("There is no file yet. Upload one, or choose another data set.")

    def read(emit: Any) -> Any:
        if is_upload:  # Gradio has checked that it is of an upload
            return in_file(Path(given["upload"]), settings, emit)
        return named(given["data"], settings, emit)

    data = yield from stream(read, may_go_on=True)
    none = {name: () for name in ("models", "metrics") if given[name] is None}
    asked = {name: given[name] for name in ("models", "metrics", "sample_size", "seed")} | none
    looking = {"clip": given["clip"], "extractor": given["extractor"]}
    request = EvaluationRequest(record.name, data, **asked, settings=own, **looking)
    return (yield from generate(studio, request))


def _updates(
    results: Widgets, events: Iterator[Any], settings: Settings
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
            yield {results["scores"]: ui.shown(_as_value(tables.partial_table(partial)))}
        elif isinstance(item, Progress) and (item.fraction is None or pace.is_due()):
            yield {results["status"]: ui.progress_bar(item)}


def _cleared(results: Widgets, status: str) -> dict[Any, Any]:
    """Clears the results of an earlier evaluation."""
    cleared: dict[Any, Any] = dict.fromkeys(results.values(), ui.shown(None))
    return cleared | {results["status"]: ui.done(status), results["notes"]: ui.notes_text([])}


def _ending(results: Widgets, result: EvaluationResult, settings: Settings) -> dict[Any, Any]:
    made = card(result)
    paths = report.write(result, made, new_folder(settings.temporary_dir, "evaluation"))
    files = {path.name: str(path) for path in paths}
    computed = sum(model.computed for model in result.models)
    opened_by, why_not = address(
        link.PARAMETER, lambda: link.encode(setup_of(made, settings.limits))
    )
    values = {
        "verdict": result.verdict,
        "scores": _as_value(tables.score_table(made)),
        "quality": files.get(plots.QUALITY),
        "distribution": files.get(plots.DISTRIBUTION),
        "comparisons": _as_value(tables.comparison_table(made)),
        "costs": _as_value(tables.cost_table(made)),
        "gallery": _pictures(result),
        "differing": _as_value(tables.differing_table(made)),
        "files": list(files.values()),
        "training": files.get(plots.TRAINING),
        "link": opened_by,
    }
    updates = {results[name]: ui.shown(value) for name, value in values.items()}
    if values["differing"]:  # the name, the text, and a column for each model, all in sight
        widths = ["12%", "28%", *[f"{60 / len(result.models):.1f}%"] * len(result.models)]
        updates[results["differing"]]["column_widths"] = widths
    notes = [*result.notes, *([why_not] if why_not else [])]
    status = ui.done(f"Done · {computed} samples computed now")
    return {**updates, results["notes"]: ui.notes_text(notes), results["status"]: status}


def _as_value(table: tables.Table) -> dict[str, Any] | None:
    headers, rows = table
    return {"headers": headers, "data": rows} if rows else None


def _pictures(result: EvaluationResult) -> list[tuple[Image.Image, str]]:
    """The described pictures, or of each prompt what every model painted, with their captions."""
    shown = []
    for file, caption in (pair for row in plots.files_of(result) for pair in row):
        with Image.open(file) as picture:
            shown.append((picture.convert("RGB"), caption))
    return shown
