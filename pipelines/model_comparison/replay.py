"""Runs the comparison of a card again and says what is equal and what differs.

Times are not compared: they are of one run each, and never come twice.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from pipelines.events import Progress
from pipelines.model_comparison import link
from pipelines.model_comparison.card import KIND, SCHEMA, card, request_of, setup_of
from pipelines.model_comparison.pipeline import NAMES, SIDES, generate
from pipelines.runtime.studio import Studio
from pipelines.sharing.cards import Card, CardKind
from pipelines.sharing.reading import damage_in_words
from pipelines.sharing.replay import (
    NOT_COMPARED,
    Line,
    Replayed,
    explained,
    in_progress,
    same_files,
    same_machine,
    same_outputs,
)

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
    compared(old, old)  # refuses a damaged card before anything runs
    new = card((yield from in_progress(generate(studio, request))))
    return Replayed(new, compared(old, new), NOT_COMPARED)


@damage_in_words()
def compared(old: Card, new: Card) -> tuple[Line, ...]:
    """What two cards of one request have in common: causes first, then what came of them."""
    causes, results = [], []
    for side in SIDES:
        was, now = old["receipts"][side], new["receipts"][side]
        name = f"{NAMES[side]} ({was['model']['reference']})"
        causes.append(same_files(name, was["model"], now["model"]))
        results.append(same_outputs(name, [was["output_sha256"]], [now["output_sha256"]]))
    causes += same_machine(old, new)
    return explained(causes, results, "Nothing else that the card records differs.")


COMPARISON = CardKind(
    name=KIND,
    schema=SCHEMA,
    panel="Side by side",
    panel_id="sides",
    parameter=link.PARAMETER,
    setup_of=setup_of,
    decode=link.decode,
    replay=lambda studio, old, sources: replay(studio, old, sources.picture),
)
