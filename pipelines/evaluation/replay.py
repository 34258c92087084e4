"""Runs the evaluation of a card again and lists what is equal and what differs.

Nothing is taken from the store: every sample is computed anew. All results are compared, costs are
not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.datasets.samples import DataSet, plain_name
from pipelines.datasets.sources import in_file, named, owned
from pipelines.errors import InvalidValue
from pipelines.evaluation import link
from pipelines.evaluation.card import KIND, SCHEMA, Card, card, request_of
from pipelines.evaluation.diff import results
from pipelines.evaluation.pipeline import generate
from pipelines.evaluation.scores import METRICS
from pipelines.evaluation.setup import setup_of, unread_data
from pipelines.events import Progress, Report
from pipelines.runtime.streaming import stream
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.sharing.cards import CardKind, Sources
from pipelines.sharing.reading import damage_in_words, pinned
from pipelines.sharing.replay import (
    NOT_COMPARED,
    Line,
    Replayed,
    explained,
    in_progress,
    same_files,
    same_machine,
)


def replay(studio: Studio, old: Card, data: DataSet) -> Generator[Progress, None, Replayed]:
    """Yields the run's progress; returns what is equal and what differs because of what.

    Args:
        data: the card's data set; its hash is checked.

    Raises:
        StudioError: no whole card, another data set, or the run fails here.
    """
    request = request_of(old, data)
    with damage_in_words():
        models = tuple(pinned(model) for model in old["models"])
        request = replace(request, models=models, data=_called(data, str(old["data"]["name"])))
    with tempfile.TemporaryDirectory(prefix="triptych-replay-") as folder:
        result = yield from in_progress(generate(studio, request, Path(folder)))
        new = card(result)
    return Replayed(new, compared(old, new), NOT_COMPARED)


def data_of(
    old: Card, sources: Sources, settings: Settings, report: Report = lambda progress: None
) -> DataSet:
    """The data set of a card: by its name, or from what ``sources`` give.

    Args:
        report: gets the progress of a download; an exception that it raises ends the reading.

    Raises:
        StudioError: no whole card, its data set cannot be used, or was a file and none is given.
    """
    data, to_upload = unread_data(old)
    if sources.is_owner:
        return owned(sources.data or data.name, settings, report)
    if to_upload is None:
        return named(data.name, settings, report)
    if sources.data is None:
        raise InvalidValue(to_upload)
    return in_file(Path(sources.data), settings, report)


def _called(data: DataSet, name: str) -> DataSet:
    """The data set by the card's name for it, where that is a file's.

    The file may be called something else by now, and scores are signed with the name.
    """
    return replace(data, name=name) if name == plain_name(name) else data


@damage_in_words()
def compared(old: Card, new: Card) -> tuple[Line, ...]:
    """What two cards of one request have in common: causes first, then what came of them."""
    causes = [
        *(same_files(was["name"], was, now) for was, now in _pairs(old, new)),
        *_drawn(old["samples"], new["samples"]),
        *same_machine(old, new),
        *_measured(old, new),
    ]
    return explained(causes, results(old, new), "Nothing else that the card records differs.")


def _pairs(old: Card, new: Card) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return list(zip(old["models"], new["models"], strict=True))


def _drawn(old: list[str], new: list[str]) -> list[Line]:
    """Which samples were drawn: a random generator of another version may draw others."""
    if old == new:
        return [Line(True, f"samples: the same {len(new)}", "samples")] if new else []
    common = len({*old} & {*new})
    text = f"samples: {common} of {len(new)} are among the {len(old)} of the card"
    return [Line(False, text, "samples")]


def _measured(old: Card, new: Card) -> list[Line]:
    """What is measured in another way now: with another extractor, say, or by another test."""
    lines = []
    for before, after in _pairs(old, new):
        for metric, score in before["scores"].items():
            was, now = score["signature"], after["scores"].get(metric, score)["signature"]
            if was != now:
                what = f"signature of {METRICS[metric].label}"
                lines.append(Line(False, f"{before['name']}: {what} was {was}, is {now}", what))
    was, now = ({c.get("signature") for c in card["comparisons"]} for card in (old, new))
    for one, other in zip(sorted(was - now, key=str), sorted(now - was, key=str), strict=False):
        what = "signature of the tests"
        lines.append(Line(False, f"{what} was {one}, is {other}", what))
    return lines


def _again(studio: Studio, old: Card, sources: Sources) -> Generator[Progress, None, Replayed]:
    """Reads the card's data set, and runs it again."""
    data = yield from stream(
        lambda report: data_of(old, sources, studio.settings, report), may_go_on=True
    )
    return (yield from replay(studio, old, data))


EVALUATION = CardKind(
    name=KIND,
    schema=SCHEMA,
    panel="On a data set",
    panel_id="evaluate",
    parameter=link.PARAMETER,
    setup_of=setup_of,
    decode=link.decode,
    replay=_again,
)
