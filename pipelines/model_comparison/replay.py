"""Runs the comparison of a card again and says what is equal and what differs.

Times are not compared: they are of one run each, and never come twice.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from pipelines.evaluation.replay import NOT_COMPARED, Replayed, compared
from pipelines.model_comparison.card import Card, card, request_of
from pipelines.model_comparison.pipeline import NAMES, SIDES, SideEvent, generate
from pipelines.runtime.events import Progress
from pipelines.runtime.studio import Studio
from pipelines.sharing.replay import whole_card

if TYPE_CHECKING:
    from PIL import Image


def replay(
    studio: Studio, old: Card, picture: Image.Image | None = None
) -> Generator[Progress, None, Replayed]:
    """Yields progress; returns the new card, and what of it is as in the old one.

    Args:
        picture: what was described: a card names it by its hash.

    Raises:
        StudioError: no whole card of a comparison, another picture, or the run fails here.
    """
    request = request_of(old, picture)
    with whole_card():
        before = _as_models(old)
    with closing(generate(studio, request)) as run:
        while True:
            try:
                event = next(run)
            except StopIteration as end:
                new = card(end.value)
                break
            if isinstance(event, SideEvent) and isinstance(event.event, Progress):
                told = event.event
                message = f"{NAMES[event.side]}: {told.message}"
                yield Progress(message, told.fraction, told.seconds_left)
    with whole_card():
        return Replayed(new, tuple(compared(before, _as_models(new))), NOT_COMPARED)


def _as_models(found: Card) -> dict[str, Any]:
    """The card in the terms of an evaluation's: two models of one output each, without scores.

    Its verdict tells of speeds as well, so it is none of an evaluation's.
    """
    models = []
    for side in SIDES:
        receipt = found["receipts"][side]
        model = receipt["model"]
        models.append(
            {
                "name": f"{NAMES[side]} ({model['reference']})",
                "commit": model["commit"],
                "adapters": model.get("adapters", []),
                "outputs": [receipt["output_sha256"]],
                "scores": {},
                "unscored": {},
            }
        )
    return {
        "models": models,
        "samples": [],
        "comparisons": [],
        "differing": {"samples": []},
        "verdict": "",
        "versions": found["versions"],
        "device": found["device"],
    }
