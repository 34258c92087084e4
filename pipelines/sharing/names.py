"""Rules for fields that name models: one by one as strangers give them, and as lists."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines import validation
from pipelines.errors import InvalidValue, abbreviated
from pipelines.hub.references import parse_composition, parse_reference
from pipelines.settings import Limits
from pipelines.validation import Rule

_LONGEST = 2_000
_LOCAL_NAME = re.compile(r"[^\W_][^/\\:]{0,95}")


@dataclass(frozen=True)
class ModelName(Rule):
    """A name of this machine or a Hub reference, composed or plain; never a path."""

    def check(self, name: str, value: object, limits: Limits) -> str:
        """The name.

        Raises:
            InvalidValue: it is neither.
            ModelUnavailable: the parts of a composed model are malformed.
        """
        model = validation.text(name, value, _LONGEST)
        for part in parse_composition(model):
            is_name = _LOCAL_NAME.fullmatch(part.text) is not None
            if not model.isprintable() or (not is_name and parse_reference(part.text) is None):
                raise InvalidValue(
                    f"{name} is {abbreviated(value)}; give a model of the page by its name, or a "
                    "Hub reference such as owner/repo."
                )
        return model


@dataclass(frozen=True)
class Names(Rule):
    """A list of names, each without blanks around it."""

    def check(self, name: str, value: object, limits: Limits) -> tuple[str, ...]:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise InvalidValue(f"{name} are {abbreviated(value)}; give a list.")
        for each in value:
            if not isinstance(each, str) or not each.strip() or len(each) > _LONGEST:
                raise InvalidValue(f"One of the {name} is {abbreviated(each)}; give a name.")
        return tuple(each.strip() for each in value)


@dataclass(frozen=True)
class Models(Names):
    """From ``fewest`` to ``most`` names of models, each once; ``advice`` says how many to give."""

    fewest: int
    most: int
    advice: str

    def check(self, name: str, value: object, limits: Limits) -> tuple[str, ...]:
        models = super().check(name, value, limits)
        if not self.fewest <= len(models) <= self.most:
            raise InvalidValue(f"There are {len(models)} models; {self.advice}.")
        for model in models:
            if models.count(model) > 1:
                raise InvalidValue(f"{abbreviated(model)} is given twice. Give each model once.")
        return models
