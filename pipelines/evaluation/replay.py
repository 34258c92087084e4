"""Runs the evaluation of a card again and says, line by line, what is equal and what is not.

Nothing is looked up: every sample is computed anew. Everything that came out is compared but
what it cost.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.datasets.samples import DataSet, plain_name
from pipelines.evaluation.card import Card, card, request_of
from pipelines.evaluation.diff import Line, outcomes
from pipelines.evaluation.pipeline import generate
from pipelines.evaluation.result import PartialScores, listed
from pipelines.evaluation.scores import METRICS
from pipelines.runtime.events import Progress
from pipelines.runtime.studio import Studio
from pipelines.sharing.pinned import pinned
from pipelines.sharing.replay import whole_card

NOT_COMPARED = "Times and memory are not compared: they are of one run each, and never come twice."


@dataclass(frozen=True)
class Replayed:
    """The new card, what of it is as in the old one, and what nobody looked at."""

    card: Card
    lines: tuple[Line, ...]
    not_compared: str = ""

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
        request = replace(request, data=_called(data, str(old["data"]["name"])))
    with tempfile.TemporaryDirectory(prefix="triptych-replay-") as folder:
        asked = replace(request, models=models)
        result = yield from generate(studio, asked, Path(folder))
        new = card(result)
    with whole_card():
        return Replayed(new, tuple(compared(old, new)), NOT_COMPARED)


def _called(data: DataSet, name: str) -> DataSet:
    """The data set by the card's name for it, where that is a file's.

    The file may be called something else by now, and scores are signed with the name.
    """
    return replace(data, name=name) if name == plain_name(name) else data


def compared(old: Card, new: Card) -> list[Line]:
    """What two cards of one request have in common: causes first, then what came of them."""
    causes = [
        *_models(old, new),
        *_drawn(old["samples"], new["samples"]),
        *_parts("version of", old["versions"], new["versions"]),
        *_parts("device", old["device"], _told_by(old["device"], new["device"])),
        *_measured(old, new),
    ]
    found = outcomes(old, new)
    lines = [line for _, line in causes] + found
    if all(line.is_equal for line in found):
        return lines
    changed = list(dict.fromkeys(name for name, line in causes if not line.is_equal))
    because = (
        f"What differs may be because of the {listed(changed)}."
        if changed
        else "Nothing else that the card tells differs."
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


def _drawn(old: list[str], new: list[str]) -> list[tuple[str, Line]]:
    """Which samples were drawn: a random generator of another version may draw others."""
    if old == new:
        return [("samples", Line(True, f"samples: the same {len(new)}"))] if new else []
    common = len({*old} & {*new})
    text = f"samples: {common} of {len(new)} are among the {len(old)} of the card"
    return [("samples", Line(False, text))]


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
    """What is measured in another way now: with another extractor, say, or by another test."""
    lines = []
    for before, after in _pairs(old, new):
        for metric, score in before["scores"].items():
            was, now = score["signature"], after["scores"].get(metric, score)["signature"]
            if was != now:
                what = f"signature of {METRICS[metric].label}"
                text = f"{before['name']}: {what} was {was}, is {now}"
                lines.append((what, Line(False, text)))
    was, now = ({c.get("signature") for c in card["comparisons"]} for card in (old, new))
    for one, other in zip(sorted(was - now, key=str), sorted(now - was, key=str), strict=False):
        what = "signature of the tests"
        lines.append((what, Line(False, f"{what} was {one}, is {other}")))
    return lines
