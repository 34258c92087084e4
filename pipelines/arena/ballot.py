"""A vote as data: what stood in which place, and what was chosen.

It holds no output and no prompt, only the hash of the input. As JSON lines votes leave the
machine, and whoever reads them again gets the same ratings.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated

from pydantic import StringConstraints

from pipelines import validation
from pipelines.errors import InvalidValue, abbreviated
from pipelines.hub.references import MAX_WEIGHT, composed_name
from pipelines.settings import Limits
from pipelines.tasks import TASKS
from pipelines.validation import EXACT, Choice, Number, Rule, Unchecked, Whole, parsed

SCHEMA = 1
PLACES = "ABCDEFGH"
"""What the places of a duel are called; so many models meet at most."""
FEWEST_MODELS = 2
TIE, ALL_BAD = "tie", "all bad"


_LIMITS = Limits()
"""Those of a page do not hold for votes."""


_Name = Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
"""What a receipt calls a model or an adapter."""
_Commit = Annotated[str, StringConstraints(pattern="^[0-9a-f]{7,64}$")]
_Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True)
class _Time(Rule):
    """A moment in ISO 8601 with its distance from UTC."""

    def check(self, name: str, value: object, limits: Limits) -> str:
        try:
            moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise InvalidValue(
                f"{name} is {abbreviated(value)}; give it as in 2026-01-31T12:00:00+00:00."
            )
        return str(value)


@dataclass(frozen=True)
class AdapterUse:
    """An adapter as a receipt names it."""

    __pydantic_config__ = EXACT

    reference: _Name
    commit: _Commit
    weight: Annotated[float, Number(-MAX_WEIGHT, MAX_WEIGHT)]


@dataclass(frozen=True)
class Contender:
    """A model as a receipt names it: at a commit, with the adapters on it."""

    __pydantic_config__ = EXACT

    reference: _Name
    commit: _Commit
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

    __pydantic_config__ = EXACT

    time: Annotated[str, _Time()]
    task: Annotated[str, Choice(tuple(TASKS))]
    input_sha256: _Sha256
    seed: Annotated[int, Whole(0, validation.MAX_SEED)]
    models: tuple[Contender, ...]
    choice: Annotated[str, Unchecked()]
    schema: Annotated[int, Whole(SCHEMA, SCHEMA)] = SCHEMA

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
    ballot = parsed(Ballot, value, _LIMITS)
    if not FEWEST_MODELS <= len(ballot.models) <= len(PLACES):
        raise InvalidValue(
            f"models has {len(ballot.models)} of them; list {FEWEST_MODELS} to {len(PLACES)}."
        )
    if len({contender.key for contender in ballot.models}) < len(ballot.models):
        raise InvalidValue("models names one model twice; a vote is between different ones.")
    validation.choice("choice", ballot.choice, choices(len(ballot.models)))
    return ballot


def contender_of(value: object) -> Contender:
    """A model from plain data, as a receipt has it under ``model``.

    Raises:
        InvalidValue: naming the first field that is not as it should be.
    """
    return parsed(Contender, value, _LIMITS)
