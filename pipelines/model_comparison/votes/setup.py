"""What sets the panel "Blind votes" up: the task and the models of a card of votes.

A card of votes holds no prompt and no output, so there is none to fill in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipelines import validation
from pipelines.errors import InvalidValue
from pipelines.hub import Task
from pipelines.model_comparison.link import model_name
from pipelines.model_comparison.pinned import pinned
from pipelines.model_comparison.pipeline import TASKS
from pipelines.model_comparison.replay.pipeline import whole_card
from pipelines.model_comparison.votes.ballot import FEWEST_MODELS, PLACES
from pipelines.model_comparison.votes.card import Card

NO_INPUT = (
    "The card's task and models are filled in. A card of votes holds no prompts and no pictures: "
    "give your own."
)


@dataclass(frozen=True)
class Setup:
    """What the panel's fields hold, and what there is to say of it."""

    task: Task
    models: tuple[str, ...]
    notes: tuple[str, ...]


def setup_of(found: Card) -> Setup:
    """The fields that a card of votes fills in: its models at their commits, best rated first.

    Raises:
        StudioError: no whole card, or it names something that is no model.
    """
    with whole_card():
        task: Any = validation.choice("task", found["task"], TASKS)
        rated = [model_name("model", pinned(model)) for model in found["models"]]
    names = list(dict.fromkeys(rated))
    if len(names) < FEWEST_MODELS:
        raise InvalidValue(
            f"The card has {len(names)} different models that can be asked for; a duel takes "
            f"{FEWEST_MODELS} or more. Choose them by hand."
        )
    notes = [NO_INPUT]
    if len(names) < len(rated):
        notes.append(
            "Some of its models are one name at several states; this machine has one of them."
        )
    if len(names) > len(PLACES):
        notes.append(
            f"The card has {len(names)} models, and a duel takes {len(PLACES)}: those that are "
            f"rated best are filled in, and not {', '.join(names[len(PLACES) :])}."
        )
    return Setup(task, tuple(names[: len(PLACES)]), tuple(notes))
