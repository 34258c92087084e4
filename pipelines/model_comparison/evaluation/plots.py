"""Two figures of a card: quality against cost, and how the samples' own values lie."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.model_comparison.evaluation.card import Card

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = (
    "#1f6663", "#c2703d", "#5a5247", "#7a4f8a", "#3d6fb0", "#a8434b", "#6b8e23", "#8c7a3d",
)  # fmt: skip
_SIZE = (6.4, 3.6)
QUALITY, DISTRIBUTION = "quality.png", "distribution.png"


def quality_against_cost(card: Card) -> Figure:
    """The first metric with its interval over the seconds that a sample takes."""
    figure, field = _field()
    metric = next(iter(card["metrics"]))
    for colour, model in zip(_COLOURS, card["models"], strict=False):
        score = model["scores"].get(metric)
        if score is None:
            continue
        value, low, high = (_number(score[name]) for name in ("value", "low", "high"))
        seconds = 1 / max(model["costs"]["samples_per_second"], 1e-9)
        reach = [[max(0.0, value - low)], [max(0.0, high - value)]]
        field.errorbar(
            seconds,
            value,
            yerr=reach,
            fmt="o",
            color=colour,
            capsize=3,
            label=_plain(model["name"]),
        )
    field.set_xscale("log")
    field.set_xlabel("seconds a sample")
    field.set_ylabel(_label(card, metric))
    field.legend(fontsize=8, frameon=False)
    return figure


def distribution(card: Card) -> Figure | None:
    """The share of samples up to each value of the first metric that has one for each sample;
    None where no metric has."""
    metrics = [m for m in card["metrics"] if all(m in each["values"] for each in card["models"])]
    if not metrics:
        return None
    figure, field = _field()
    for colour, model in zip(_COLOURS, card["models"], strict=False):
        values = np.sort([_number(value) for value in model["values"][metrics[0]]])
        share = np.arange(1, len(values) + 1) / len(values)
        field.step(values, share, where="post", color=colour, label=_plain(model["name"]))
    field.set_xlabel(f"{_label(card, metrics[0])} of a sample")
    field.set_ylabel("share of samples up to it")
    field.legend(fontsize=8, frameon=False)
    return figure


def drawn(card: Card) -> dict[str, bytes]:
    """All figures that the card has data for, as the contents of PNG files, by their names."""
    figures = {QUALITY: quality_against_cost(card), DISTRIBUTION: distribution(card)}
    return {name: as_png(figure) for name, figure in figures.items() if figure is not None}


def as_png(figure: Figure) -> bytes:
    """The figure as a PNG file's content."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return content.getvalue()


def _field() -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE)
    # Fixed margins: a layout engine draws everything twice to find them.
    field = figure.subplots(gridspec_kw={"left": 0.14, "right": 0.97, "bottom": 0.15, "top": 0.96})
    field.grid(alpha=0.3)
    field.spines[["top", "right"]].set_visible(False)
    return figure, field


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _plain(name: str) -> str:
    """Dollars would begin a formula."""
    return name.replace("$", r"\$")


def _label(card: Card, metric: str) -> str:
    told = card["metrics"][metric]
    return f"{told['label']} ({'more' if told['higher_is_better'] else 'less'} is better)"
