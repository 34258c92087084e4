"""Tables of a card: headers and rows of plain text, for Markdown, HTML and the page alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.device import mebibytes
from pipelines.evaluation.card import Card
from pipelines.evaluation.result import PartialScores
from pipelines.evaluation.scores import METRICS
from pipelines.metrics.interval import in_words

Table = tuple[list[str], list[list[str]]]
NOT_SHOWN = "no difference shown"


_UNRANKED = " (!)"
"""Beside a score that must not be ranked."""


def score_table(card: Card) -> Table:
    """A row for each model, a column for each metric: value and 95% interval."""
    metrics = card["metrics"]
    headers = ["model", *(f"{told['label']} {_arrow(told)}" for told in metrics.values())]
    return headers, [
        [model["name"], *(_score(model["scores"].get(metric)) for metric in metrics)]
        for model in card["models"]
    ]


def comparison_table(card: Card) -> Table:
    """A row for each model but the first, and metric: difference, p-values, how large it is or one
    had to be, and what is shown."""
    headers = ["model", "metric", "difference", "95% interval", "p (bootstrap)",
               "p (randomisation)", "p (Holm)", "size", "shown"]  # fmt: skip
    return headers, [_comparison(card, each) for each in card["comparisons"]]


def cost_table(card: Card) -> Table:
    """A row for each model: what it took."""
    headers = ["model", "load", "first sample", "median sample", "samples per second",
               "peak memory of all", "weights", "timed"]  # fmt: skip
    return headers, [[model["name"], *_costs(model["costs"])] for model in card["models"]]


def partial_table(partial: Mapping[str, PartialScores]) -> Table:
    """A row for each model that has begun: how far it is, and its scores so far."""
    names = list(dict.fromkeys(name for each in partial.values() for name in each.scores))
    headers = ["model", "samples", *(METRICS[name].label for name in names)]
    return headers, [
        [each.model, f"{each.done} of {each.total}", *(_so_far(each, name) for name in names)]
        for each in partial.values()
    ]


def _so_far(partial: PartialScores, metric: str) -> str:
    mark = _UNRANKED if metric in partial.unranked else ""
    return figure(partial.scores.get(metric)) + mark


def differing_table(card: Card) -> Table:
    """The samples on which models are farthest apart: what was asked, and what each made."""
    headers = ["sample", "text", *(model["name"] for model in card["models"])]
    return headers, [
        [each["name"], each["text"], *map(_told, each["outputs"], each["values"])]
        for each in card["differing"]["samples"]
    ]


def _told(output: dict[str, str], value: float | None) -> str:
    told = figure(value, 3)
    return f"{output['text']} ({told})" if output["text"] else told


def figure(value: float | None, digits: int = 4) -> str:
    """A number of so many significant digits; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}g}"


def _arrow(metric: dict[str, Any]) -> str:
    return "↑" if metric["higher_is_better"] else "↓"


def _score(score: dict[str, Any] | None) -> str:
    if score is None:
        return "–"
    mark = "" if score["warning"] is None else _UNRANKED
    return f"{figure(score['value'])} ({in_words(score['low'], score['high'])}){mark}"


def _comparison(card: Card, found: dict[str, Any]) -> list[str]:
    metric = card["metrics"][found["metric"]]
    head = [found["model"], metric["label"]]
    if found["is_shown"] is None:
        # Cards of earlier versions know nothing of identical outputs.
        reason = (
            found["why_not"] if found.get("is_identical") else f"not tested: {found['why_not']}"
        )
        return [*head, *["–"] * 6, reason]
    verdict = NOT_SHOWN
    if found["is_shown"]:
        is_better = (found["difference"] > 0) == metric["higher_is_better"]
        verdict = "better" if is_better else "worse"
    return [
        *head,
        f"{found['difference']:+.4g}",
        in_words(found["low"], found["high"]),
        *(figure(found[name], 2) for name in ("bootstrap_p", "randomisation_p", "corrected_p")),
        found.get("size") or "–",
        verdict,
    ]


def _costs(costs: dict[str, Any]) -> list[str]:
    return [
        f"{costs['load_seconds']:.2f} s",
        f"{costs['first_latency_seconds'] * 1000:.0f} ms",
        f"{costs['median_latency_seconds'] * 1000:.0f} ms",
        f"{costs['samples_per_second']:.2f}",
        mebibytes(costs["peak_bytes"]),
        mebibytes(costs["weight_bytes"]),
        _timed(costs),
    ]


def _timed(costs: dict[str, Any]) -> str:
    """In which run, and what else the machine had to do; cards of earlier versions do not say."""
    if "measured_at" not in costs:
        return "–"
    when = "in this run" if costs["is_of_this_run"] else f"earlier, {costs['measured_at'][:16]} UTC"
    load = costs["machine_load"]
    return when if load is None else f"{when}, load {load:.1f}"
