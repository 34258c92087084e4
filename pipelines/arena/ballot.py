"""A vote as data: what stood in which place, and what was chosen.

It holds no output and no prompt, only the hash of the input. As JSON lines votes leave the
machine, and whoever reads them again gets the same ratings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pipelines import validation
from pipelines.errors import InvalidValue, abbreviated
from pipelines.hub.references import MAX_WEIGHT, composed_name
from pipelines.tasks import TASKS

SCHEMA = 1
PLACES = "ABCDEFGH"
"""What the places of a duel are called; so many models meet at most."""
FEWEST_MODELS = 2
TIE, ALL_BAD = "tie", "all bad"
_LONGEST_NAME = 2_000


@dataclass(frozen=True)
class AdapterUse:
    """An adapter as a receipt names it."""

    reference: str
    commit: str
    weight: float


@dataclass(frozen=True)
class Contender:
    """A model as a receipt names it: at a commit, with the adapters on it."""

    reference: str
    commit: str
    adapters: tuple[AdapterUse, ...] = ()

    @property
    def name(self) -> str:
        """The composed reference, without commits."""
        return composed_name(self.reference, [(a.reference, a.weight) for a in self.adapters])

    @property
    def key(self) -> str:
        """The composed reference with each part at its commit: equal for equal models alone."""
        parts = [(f"{a.reference}@{a.commit}", a.weight) for a in self.adapters]
        return composed_name(f"{self.reference}@{self.commit}", parts)


@dataclass(frozen=True)
class Ballot:
    """One vote. ``models`` in the order shown; ``choice`` is a place, a tie, or all bad."""

    time: str
    task: str
    input_sha256: str
    seed: int
    models: tuple[Contender, ...]
    choice: str
    schema: int = SCHEMA

    @property
    def best(self) -> Contender | None:
        """The model that was chosen, if one was."""
        return self.models[PLACES.index(self.choice)] if self.choice in PLACES else None


def choices(models: int) -> list[str]:
    """What can be voted where so many outputs are shown."""
    return [*PLACES[:models], TIE, ALL_BAD]


def to_lines(ballots: Iterable[Ballot]) -> str:
    """One JSON object a line."""
    return "".join(json.dumps(asdict(ballot), ensure_ascii=False) + "\n" for ballot in ballots)


def from_lines(text: str) -> list[Ballot]:
    """The votes that ``to_lines`` wrote; empty lines are passed over.

    Raises:
        InvalidValue: naming the first line that is no vote, and why.
    """
    ballots = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            ballots.append(ballot_of(json.loads(line)))
        except (ValueError, RecursionError) as error:
            raise InvalidValue(f"Line {number} is not valid JSON: {error}.") from error
        except InvalidValue as error:
            raise InvalidValue(f"Line {number} is no vote: {error}") from error
    return ballots


def ballot_of(value: object) -> Ballot:
    """A vote from plain data, with every field of its type and in its range.

    Raises:
        InvalidValue: naming the first field that is not.
    """
    fields = _fields("the vote", value, Ballot)
    if fields["schema"] != SCHEMA or isinstance(fields["schema"], bool):
        raise InvalidValue(
            f"schema is {abbreviated(fields['schema'])}; only votes of schema {SCHEMA} are read."
        )
    models = fields["models"]
    if not isinstance(models, list | tuple) or not FEWEST_MODELS <= len(models) <= len(PLACES):
        raise InvalidValue(
            f"models is {abbreviated(models)}; list {FEWEST_MODELS} to {len(PLACES)} of them."
        )
    contenders = tuple(contender_of(model) for model in models)
    if len({contender.key for contender in contenders}) < len(contenders):
        raise InvalidValue("models names one model twice; a vote is between different ones.")
    return Ballot(
        time=_time(fields["time"]),
        task=validation.choice("task", fields["task"], tuple(TASKS)),
        input_sha256=_matching("input_sha256", fields["input_sha256"], r"[0-9a-f]{64}"),
        seed=validation.whole_number("seed", fields["seed"], 0, validation.MAX_SEED),
        models=contenders,
        choice=validation.choice("choice", fields["choice"], choices(len(contenders))),
    )


def contender_of(value: object) -> Contender:
    """A model from plain data, as a receipt has it under ``model``.

    Raises:
        InvalidValue: naming the first field that is not as it should be.
    """
    fields = _fields("a model", value, Contender)
    adapters = fields["adapters"]
    if not isinstance(adapters, list | tuple):
        raise InvalidValue(f"adapters is {abbreviated(adapters)}; a list is needed.")
    uses = []
    for adapter in adapters:
        use = _fields("an adapter", adapter, AdapterUse)
        weight = validation.number("weight", use["weight"], -MAX_WEIGHT, MAX_WEIGHT)
        uses.append(AdapterUse(_name(use["reference"]), _commit(use["commit"]), weight))
    return Contender(_name(fields["reference"]), _commit(fields["commit"]), tuple(uses))


def _fields(what: str, value: object, kind: type[Any]) -> dict[str, Any]:
    names = list(kind.__dataclass_fields__)
    if not isinstance(value, dict) or set(value) != set(names):
        raise InvalidValue(
            f"{what} is {abbreviated(value)}; it must have just the fields {', '.join(names)}."
        )
    return value


def _name(value: object) -> str:
    if value == "":
        raise InvalidValue("reference is empty; give the model's name.")
    return validation.text("reference", value, _LONGEST_NAME)


def _commit(value: object) -> str:
    return _matching("commit", value, r"[0-9a-f]{7,64}")


def _matching(name: str, value: object, pattern: str) -> str:
    if not isinstance(value, str) or re.fullmatch(pattern, value) is None:
        raise InvalidValue(f"{name} is {abbreviated(value)}; lower-case hexadecimal is needed.")
    return value


def _time(value: object) -> str:
    """``value`` if it is a moment in ISO 8601 with its distance from UTC."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidValue(
            f"time is {abbreviated(value)}; give it as in 2026-01-31T12:00:00+00:00."
        )
    return str(value)
