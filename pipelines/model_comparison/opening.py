"""Opens a card on the page: each of Compare's panels takes the cards of its own kind."""

from __future__ import annotations

from pathlib import Path

from pipelines.errors import InvalidValue
from pipelines.model_comparison.evaluation.data import read_bounded
from pipelines.model_comparison.replay.cards import COMPARISON, EVALUATION, VOTES, Card, read

PANELS = {COMPARISON: "Side by side", EVALUATION: "On a data set", VOTES: "Blind votes"}
"""What the panels are called, by the kind of their cards."""


def read_card(file: Path, kind: str) -> Card:
    """The card in an uploaded file.

    Raises:
        InvalidValue: it is none, too large, or of another kind; the message names the panel that
            opens it.
    """
    found = read(read_bounded(file).decode(errors="replace"))
    if found["kind"] != kind:
        panel = PANELS[found["kind"]]
        raise InvalidValue(
            f"This is a card of kind {found['kind']}, and a card of kind {kind} is opened here. "
            f"Open it in Compare, {panel}."
        )
    return found
