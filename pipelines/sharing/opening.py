"""What sets Compare's panels up: each takes the cards of its own kind, and the text of its link."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.errors import InvalidValue
from pipelines.sharing.cards import COMPARISON, EVALUATION, VOTES, Card, read
from pipelines.sharing.replay import text_of

PANELS = {COMPARISON: "Side by side", EVALUATION: "On a data set", VOTES: "Blind votes"}
"""What the panels are called, by the kind of their cards."""


class Filling(NamedTuple):
    """``fill`` takes the text of a panel's link, and fills ``fields`` in."""

    fill: Callable[[str], dict[Any, Any]]
    fields: list[Any]


def read_card(file: Path, kind: str) -> Card:
    """The card in an uploaded file.

    Raises:
        InvalidValue: it is none, too large, or of another kind; the message names the panel that
            opens it.
    """
    found = read(text_of(file))
    if found["kind"] != kind:
        panel = PANELS[found["kind"]]
        raise InvalidValue(
            f"This is a card of kind {found['kind']}, and a card of kind {kind} is opened here. "
            f"Open it in Compare, {panel}."
        )
    return found
