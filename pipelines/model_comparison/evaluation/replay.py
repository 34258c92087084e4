"""Runs the evaluation of a card again and says, line by line, what is equal and what is not.

Nothing is looked up: every sample is computed anew.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.events import Progress
from pipelines.model_comparison.evaluation.card import Card, card, request_of
from pipelines.model_comparison.evaluation.data import DataSet
from pipelines.model_comparison.evaluation.pipeline import generate
from pipelines.model_comparison.evaluation.result import PartialScores, listed
from pipelines.model_comparison.evaluation.scores import METRICS
from pipelines.model_comparison.evaluation.tables import figure
from pipelines.model_comparison.pinned import pinned
from pipelines.model_comparison.replay.pipeline import whole_card
from pipelines.studio import Studio


@dataclass(frozen=True)
class Line:
    """One thing that was looked at: whether it is as it was, and what there is to say."""

    is_equal: bool
    text: str


@dataclass(frozen=True)
class Replayed:
    """The new card, and what of it is as in the old one."""

    card: Card
    lines: tuple[Line, ...]

    @property
    def is_equal(self) -> bool:
        return all(line.is_equal for line in self.lines)


def replay(
    studio: Studio, old: Card, data: DataSet
) -> Generator[Progress | PartialScores, None, Replayed]:
    """Yields the run's events; returns what is equal and what differs because of what.

    Args:
        data: the card's data set; its hash is checked.

    Raises:
        StudioError: no whole card, another data set, or the run fails here.
    """
    request = request_of(old, data)
    with whole_card():
        models = tuple(pinned(model) for model in old["models"])
    with tempfile.TemporaryDirectory(prefix="triptych-replay-") as folder:
        asked = replace(request, models=models)
        result = yield from generate(studio, asked, Path(folder), fewest_models=1)
        new = card(result)
    with whole_card():
        return Replayed(new, tuple(compared(old, new)))


def compared(old: Card, new: Card) -> list[Line]:
    """What two cards of one request have in common: causes first, then what came of them."""
    causes = [
        *_models(old, new),
        *_parts("version of", old["versions"], new["versions"]),
        *_parts("device", old["device"], _told_by(old["device"], new["device"])),
        *_measured(old, new),
    ]
    outcomes = [line for pair in _pairs(old, new) for line in _outcomes(*pair)]
    lines = [line for _, line in causes] + outcomes
    if all(line.is_equal for line in outcomes):
        return lines
    changed = list(dict.fromkeys(name for name, line in causes if not line.is_equal))
    because = (
        f"What differs may be because of the {listed(changed)}."
        if changed
        else "Nothing else that the card tells differs: another processor may round otherwise."
    )
    return [*lines, Line(False, because)]


def _pairs(old: Card, new: Card) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return list(zip(old["models"], new["models"], strict=True))


def _models(old: Card, new: Card) -> list[tuple[str, Line]]:
    lines = []
    for before, after in _pairs(old, new):
        was, now = ([m["commit"], m["adapters"]] for m in (before, after))
        name = before["name"]
        text = f"{name}: the same files" if was == now else f"{name}: files were {was}, are {now}"
        lines.append((f"files of {name}", Line(was == now, text)))
    return lines


def _told_by(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The new device as far as the old one is told: cards of earlier versions name no hardware."""
    return {name: value for name, value in new.items() if name in old or name != "hardware"}


def _parts(what: str, old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, Line]]:
    lines = []
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        told = f"{what} {name}"
        text = f"{told}: {after}" if before == after else f"{told}: was {before}, is {after}"
        lines.append((told, Line(before == after, text)))
    return lines


def _measured(old: Card, new: Card) -> list[tuple[str, Line]]:
    """The metrics whose signature is another now: their extractor is not the same, say."""
    lines = []
    for before, after in _pairs(old, new):
        for metric, score in before["scores"].items():
            was, now = score["signature"], after["scores"].get(metric, score)["signature"]
            if was != now:
                what = f"signature of {METRICS[metric].label}"
                text = f"{before['name']}: {what} was {was}, is {now}"
                lines.append((what, Line(False, text)))
    return lines


def _outcomes(before: dict[str, Any], after: dict[str, Any]) -> list[Line]:
    name = before["name"]
    pairs = list(zip(before["outputs"], after["outputs"], strict=True))
    equal = sum(was == now for was, now in pairs)
    lines = [Line(equal == len(pairs), f"{name}: {equal} of {len(pairs)} outputs are equal")]
    for metric, score in before["scores"].items():
        was, now = score["value"], after["scores"].get(metric, {}).get("value")
        text = f"{name}: {METRICS[metric].label} {figure(now)}"
        told = f"{text}, as before" if was == now else f"{text}, was {figure(was, 6)}"
        lines.append(Line(was == now, told))
    return lines
