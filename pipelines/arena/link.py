"""A duel as a link: the panel's fields in the page's query string, ``/?vote=...``.

It names models in the order in which they are listed, and says nothing of whose an output is.
"""

from __future__ import annotations

from dataclasses import fields

from pipelines import validation
from pipelines.arena.duel import DuelRequest
from pipelines.arena.setup import Setup
from pipelines.errors import InvalidValue, abbreviated
from pipelines.settings import Limits
from pipelines.sharing.links import packed, unpacked
from pipelines.sharing.names import ModelName
from pipelines.sharing.reading import completed
from pipelines.validation import Seed, defaults_of, known_task, rule_of

PARAMETER = "vote"
"""The name in the query string."""

_FIELDS = tuple(field.name for field in fields(Setup) if field.metadata.get("in_link", True))


def encode(setup: Setup) -> str:
    """The text of a link, in letters that need no escaping.

    Raises:
        InvalidValue: it would be too long.
    """
    content = {name: getattr(setup, name) for name in _FIELDS}
    return packed(content, "Shorten the prompt, or pass on the models' names.")


def decode(text: object, limits: Limits) -> Setup:
    """The fields that a link's text holds, each of its type and in its range.

    Raises:
        InvalidValue: it is none, too long, damaged, or a field is missing, unknown or wrong.
        ModelUnavailable: the parts of a composed model are malformed.
    """
    content = completed("The link", unpacked(text), _FIELDS, defaults_of(Setup))
    task, prompt = known_task(content["task"]), content["prompt"]
    models = rule_of(DuelRequest, "models").check("models", content["models"], limits)
    models = tuple(ModelName().check("model", model, limits) for model in models)
    if prompt is not None and task.takes == "picture":
        raise InvalidValue(f"prompt is {abbreviated(prompt)}; to describe a picture there is none.")
    if prompt is not None:
        rule_of(task.pipeline.Request, "prompt").check("prompt", prompt, limits)
    seed = Seed().check("seed", content["seed"], limits)
    return Setup(task.name, models, prompt, validation.OWN if seed is None else seed)
