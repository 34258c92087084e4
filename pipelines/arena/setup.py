"""What sets the panel "Blind votes" up: the fields that a card, a link or a duel fills in.

A card of votes holds no prompt and no output, so there is none to fill in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pipelines import validation
from pipelines.arena.ballot import FEWEST_MODELS, PLACES
from pipelines.arena.duel import checked_models
from pipelines.errors import InvalidValue, abbreviated
from pipelines.model_comparison.link import longest_prompt, model_name, page_seed
from pipelines.model_comparison.pipeline import TASKS
from pipelines.settings import Limits
from pipelines.sharing.pinned import pinned
from pipelines.sharing.replay import whole_card
from pipelines.tasks import Task

NO_INPUT = (
    "The card's task and models are filled in. A card of votes holds no prompts and no pictures: "
    "give your own."
)


@dataclass(frozen=True)
class Setup:
    """What the panel's fields hold, and what there is to say of it.

    ``prompt`` is None where there is none to fill in: to describe a picture, or because it is
    the visitor's to give. ``seed`` is as the page's field has it.
    """

    task: Task
    models: tuple[str, ...]
    prompt: str | None = None
    seed: int = -1
    notes: tuple[str, ...] = ()


def setup_of(found: dict[str, Any]) -> Setup:
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
    return Setup(task, tuple(names[: len(PLACES)]), notes=tuple(notes))


def setup_of_duel(receipt: dict[str, Any]) -> Setup:
    """The fields that make a duel again, of the receipt that a vote gives: models at their
    commits, in alphabetical order, the prompt where there is one, and the seed that was drawn."""
    outputs = receipt["outputs"]
    asked = outputs[0]["request"]
    models = sorted(pinned(output["model"]) for output in outputs)
    return Setup(outputs[0]["task"], tuple(models), asked.get("prompt"), asked["seed"])


def checked(setup: Setup, limits: Limits) -> Setup:
    """The setup with every field of its type and in its range.

    Raises:
        InvalidValue: naming the first field that is not.
        ModelUnavailable: the parts of a composed model are malformed.
    """
    task: Any = validation.choice("task", setup.task, TASKS)
    models = checked_models(setup.models)
    for model in models:
        model_name("model", model)
    prompt = setup.prompt
    if prompt is not None:
        if task == "describe":
            raise InvalidValue(
                f"prompt is {abbreviated(prompt)}; to describe a picture there is none."
            )
        validation.text("prompt", prompt, longest_prompt(task, limits))
    return replace(setup, task=task, models=models, seed=page_seed(setup.seed))
