"""What sets the panel "Blind votes" up: the fields that a card, a link or a duel fills in.

A card of votes holds no prompt and no output, so it fills none in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pipelines import validation
from pipelines.arena.ballot import FEWEST_MODELS, PLACES
from pipelines.errors import InvalidValue
from pipelines.settings import Limits
from pipelines.sharing.names import ModelName
from pipelines.sharing.reading import damage_in_words, pinned
from pipelines.tasks import Task
from pipelines.validation import known_task

NO_INPUT = (
    "The card's task and models are filled in. A card of votes holds no prompts and no pictures: "
    "give your own."
)


@dataclass(frozen=True)
class Setup:
    """What the panel's fields hold, and notes on it.

    ``prompt`` is None where none is filled in: to describe a picture, or because it is the
    visitor's to give. ``seed`` is as the page's field has it.
    """

    task: Task
    models: tuple[str, ...]
    prompt: str | None = None
    seed: int = validation.OWN
    notes: tuple[str, ...] = field(default=(), metadata={"in_link": False})


@damage_in_words()
def setup_of(card: dict[str, Any], limits: Limits) -> Setup:
    """The fields that a card of votes fills in: its models at their commits, best rated first.

    Raises:
        StudioError: no whole card, or it names something that is no model.
    """
    task = known_task(card["task"]).name
    rated = [ModelName().check("model", pinned(model), limits) for model in card["models"]]
    names = list(dict.fromkeys(rated))
    if len(names) < FEWEST_MODELS:
        raise InvalidValue(
            f"The card has {len(names)} different models that can be run by name; a duel takes "
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
    return Setup(task, tuple(names[: len(PLACES)]), notes=tuple(notes))


def setup_of_duel(receipt: dict[str, Any]) -> Setup:
    """The fields that make a duel again, of the receipt that a vote gives: models at their
    commits, in alphabetical order, the prompt where there is one, and the seed that was drawn."""
    outputs = receipt["outputs"]
    request = outputs[0]["request"]
    models = sorted(pinned(output["model"]) for output in outputs)
    return Setup(outputs[0]["task"], tuple(models), request.get("prompt"), request["seed"])
