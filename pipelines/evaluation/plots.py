"""Figures of a card: quality against cost, how the samples' own values lie, and how the models
learned. And of a result the pictures on which models differ most: small ones, and a sheet of all.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.evaluation.card import Card
from pipelines.evaluation.result import EvaluationResult
from pipelines.sharing import documents
from pipelines.sharing.figures import COLOURS, as_png, fields, plain
from pipelines.tasks import TASKS

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

QUALITY, DISTRIBUTION, TRAINING = "quality.png", "distribution.png", "training.png"
SHEET = "samples.png"
TITLES = {
    QUALITY: "Quality against cost",
    DISTRIBUTION: "Score distribution",
    TRAINING: "Training",
}
MOST_FIELDS = 4
_EDGE, _GAP = 192, 8
"""Of small pictures on a sheet, in pixels."""
_LEGEND: dict[str, Any] = {"fontsize": 8, "frameon": False}
_FAR_APART = 20
"""Costs that differ by more than this factor are drawn on a logarithmic axis."""


def quality_against_cost(card: Card) -> Figure:
    """The first metric with its interval over the seconds that a sample takes; hollow where they
    were measured in an earlier run."""
    figure, (field,) = fields()
    metric = next(iter(card["metrics"]))
    taken = []
    for model, looks in _models(card):
        score = model["scores"].get(metric)
        if score is None:
            continue
        value, low, high = (_number(score[name]) for name in ("value", "low", "high"))
        taken.append(1 / max(model["costs"]["samples_per_second"], 1e-9))
        reach = [[max(0.0, value - low)], [max(0.0, high - value)]]
        if not model["costs"].get("is_of_this_run", True):
            looks |= {"label": f"{looks['label']} (timed earlier)", "fillstyle": "none"}
        field.errorbar(taken[-1], value, yerr=reach, fmt="o", capsize=3, **looks)
    if taken and max(taken) > _FAR_APART * min(taken):
        field.set_xscale("log")
    else:
        field.set_xlim(0, 1.1 * max(taken, default=1.0))
    field.set_xlabel("seconds a sample")
    field.set_ylabel(_label(card, metric))
    if taken:
        field.legend(**_LEGEND)
    return figure


def distribution(card: Card) -> Figure | None:
    """The share of samples up to each value of the first metric that has one for each sample;
    None where no metric has."""
    metrics = [m for m in card["metrics"] if all(m in each["values"] for each in card["models"])]
    if not metrics:
        return None
    figure, (field,) = fields()
    for model, looks in _models(card):
        values = np.sort([_number(value) for value in model["values"][metrics[0]]])
        share = np.arange(1, len(values) + 1) / len(values)
        field.step(values, share, where="post", **looks)
    field.set_xlabel(f"{_label(card, metrics[0])} of a sample")
    field.set_ylabel("share of samples up to it")
    field.legend(**_LEGEND)
    return figure


def training_curves(card: Card) -> Figure | None:
    """What the models' training logs hold over the steps, a field for each number; those that
    most models have in common come first. None where no model has a log."""
    # Cards of earlier versions have no curves.
    curves = [each.get("curves", {}) for each in card["models"]]
    names = sorted({name for own in curves for name in own})
    names.sort(key=lambda name: -sum(name in own for own in curves))
    names = names[:MOST_FIELDS]
    if not names:
        return None
    figure, drawn_on = fields(len(names))
    for field, name in zip(drawn_on, names, strict=True):
        for (_, looks), own in zip(_models(card), curves, strict=False):
            if name in own:
                field.plot(*zip(*own[name], strict=True), linewidth=1, **looks)
        field.set_ylabel(plain(name))
        field.legend(**_LEGEND)
    for field in drawn_on[-2:]:
        field.set_xlabel("step of training")
    return figure


def _models(card: Card) -> list[tuple[dict[str, Any], dict[str, str]]]:
    """The models with their colour and their name in a legend."""
    pairs = zip(COLOURS, card["models"], strict=False)
    return [(model, {"color": colour, "label": plain(model["name"])}) for colour, model in pairs]


def drawn(card: Card) -> dict[str, bytes]:
    """All figures that the card has data for, as the contents of PNG files, by their names."""
    figures = {
        QUALITY: quality_against_cost(card),
        DISTRIBUTION: distribution(card),
        TRAINING: training_curves(card),
    }
    return {name: as_png(figure) for name, figure in figures.items() if figure is not None}


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _label(card: Card, metric: str) -> str:
    label, more = (card["metrics"][metric][name] for name in ("label", "higher_is_better"))
    return f"{label} ({'more' if more else 'less'} is better)"


def files_of(result: EvaluationResult) -> list[list[tuple[Path, str]]]:
    """For each sample the files of its pictures with captions: the one that was described, or what
    each model painted. A writer's samples have none."""
    task = TASKS[result.request.task]
    if task.takes == "picture":
        described = ((each.sample.file, each.sample.name) for each in result.differing)
        return [[(file, name)] for file, name in described if file is not None]
    if task.makes != "pictures":
        return [[] for _ in result.differing]
    return [
        [(m.outputs.files[each.place], f"{m.name}: {each.sample.text}") for m in result.models]
        for each in result.differing
    ]


def sheet(result: EvaluationResult) -> dict[str, bytes]:
    """The sheet as a PNG's content by its file's name; nothing where there are no pictures.

    Painters have a row for each sample and a column for each model, in their order; pictures
    that were described stand side by side.
    """
    pictures = [[small(file) for file, _ in row] for row in files_of(result)]
    if TASKS[result.request.task].takes == "picture":
        pictures = [[picture for row in pictures for picture in row]]
    return {SHEET: documents.as_png(_tiled(pictures))} if any(pictures) else {}


def small(file: Path) -> Image.Image:
    """The picture in a file, of at most 192 pixels an edge."""
    from PIL import Image

    with Image.open(file) as picture:
        made_small = picture.convert("RGB")
    made_small.thumbnail((_EDGE, _EDGE))
    return made_small


def _tiled(rows: list[list[Image.Image]]) -> Image.Image:
    """Pictures in rows and columns as wide and high as the largest of them."""
    from PIL import Image

    pictures = [picture for row in rows for picture in row]
    wide = _GAP + max(picture.width for picture in pictures)
    high = _GAP + max(picture.height for picture in pictures)
    sheet = Image.new("RGB", (wide * len(rows[0]) - _GAP, high * len(rows) - _GAP), "white")
    for top, row in enumerate(rows):
        for left, picture in enumerate(row):
            sheet.paste(picture, (left * wide, top * high))
    return sheet
