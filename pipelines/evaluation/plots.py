"""Figures of a card: quality against cost, how the samples' own values lie, and how the models
learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipelines.evaluation.card import Card
from pipelines.sharing.figures import COLOURS, as_png, fields, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUALITY, DISTRIBUTION, TRAINING = "quality.png", "distribution.png", "training.png"
TITLES = {
    QUALITY: "Quality against cost",
    DISTRIBUTION: "Score distribution",
    TRAINING: "Training",
}
MOST_FIELDS = 4
_FAR_APART = 20
"""Costs that differ by more than this factor are drawn on a logarithmic axis."""


def quality_against_cost(card: Card) -> Figure:
    """The first metric with its interval over the seconds that a sample takes."""
    figure, (field,) = fields()
    metric = next(iter(card["metrics"]))
    taken = []
    for colour, model in zip(COLOURS, card["models"], strict=False):
        score = model["scores"].get(metric)
        if score is None:
            continue
        value, low, high = (_number(score[name]) for name in ("value", "low", "high"))
        seconds = 1 / max(model["costs"]["samples_per_second"], 1e-9)
        taken.append(seconds)
        reach = [[max(0.0, value - low)], [max(0.0, high - value)]]
        field.errorbar(
            seconds,
            value,
            yerr=reach,
            fmt="o",
            color=colour,
            capsize=3,
            label=plain(model["name"]),
        )
    if taken and max(taken) > _FAR_APART * min(taken):
        field.set_xscale("log")
    else:
        field.set_xlim(0, 1.1 * max(taken, default=1.0))
    field.set_xlabel("seconds a sample")
    field.set_ylabel(_label(card, metric))
    if taken:
        field.legend(fontsize=8, frameon=False)
    return figure


def distribution(card: Card) -> Figure | None:
    """The share of samples up to each value of the first metric that has one for each sample;
    None where no metric has."""
    metrics = [m for m in card["metrics"] if all(m in each["values"] for each in card["models"])]
    if not metrics:
        return None
    figure, (field,) = fields()
    for colour, model in zip(COLOURS, card["models"], strict=False):
        values = np.sort([_number(value) for value in model["values"][metrics[0]]])
        share = np.arange(1, len(values) + 1) / len(values)
        field.step(values, share, where="post", color=colour, label=plain(model["name"]))
    field.set_xlabel(f"{_label(card, metrics[0])} of a sample")
    field.set_ylabel("share of samples up to it")
    field.legend(fontsize=8, frameon=False)
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
        for colour, model, own in zip(COLOURS, card["models"], curves, strict=False):
            if name in own:
                steps, values = zip(*own[name], strict=True)
                field.plot(steps, values, color=colour, linewidth=1, label=plain(model["name"]))
        field.set_ylabel(plain(name))
        field.legend(fontsize=8, frameon=False)
    for field in drawn_on[-2:]:
        field.set_xlabel("step of training")
    return figure


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
    told = card["metrics"][metric]
    return f"{told['label']} ({'more' if told['higher_is_better'] else 'less'} is better)"
