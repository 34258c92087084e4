"""Checks of a request's fields: a rule beside each field, one function for each kind of value.

    temperature: Annotated[float, Number(0.0, 5.0)] = 0.8

``checked`` walks a dataclass with pydantic; its rules answer in the words of the functions here.
They accept what means the same without doubt (``20.0`` for 20) and refuse the rest;
they never clamp, for then a result would not be the requested one.
"""

from __future__ import annotations

import dataclasses
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeGuard, TypeVar, cast, get_type_hints

from pydantic import ConfigDict, GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, core_schema

from pipelines.errors import InvalidValue, abbreviated
from pipelines.settings import Limits
from pipelines.tasks import TASKS, Task, TaskRecord

MAX_SEED = 2**63 - 1
OWN = -1
"""Leaves a setting to the model, in fields and links; checked requests have None."""
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_OR_OWN = f", or {OWN} for the model's own"


def whole_number(name: str, value: object, low: int, high: int, otherwise: str = "") -> int:
    """``value`` as an int in [low, high].

    Args:
        otherwise: what else is allowed, at the end of the message.

    Raises:
        InvalidValue: not a whole number (booleans are none), or out of range.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidValue(
            f"{name} is {abbreviated(value)}; give a whole number from {low} to {high}{otherwise}."
        )
    return value


def number(name: str, value: object, low: float, high: float, otherwise: str = "") -> float:
    """``value`` as a finite float in [low, high].

    Args:
        otherwise: what else is allowed, at the end of the message.

    Raises:
        InvalidValue: not a number (booleans and NaN are none), or out of range.
    """
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not low <= value <= high  # false for NaN, too
    ):
        raise InvalidValue(
            f"{name} is {abbreviated(value)}; give a number from {low:g} to {high:g}{otherwise}."
        )
    return float(value)


def _is_own(value: object) -> bool:
    return value is None or (value == OWN and not isinstance(value, bool))


def is_finite(value: object) -> TypeGuard[int | float]:
    """Whether it is a number that a float can hold; booleans and NaN are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e300 if isinstance(value, int) else math.isfinite(value)


def text(name: str, value: object, max_characters: int) -> str:
    """``value`` as a string of at most so many characters; empty is allowed.

    Raises:
        InvalidValue: not a string, too long (the message holds both lengths), or with half of
            a surrogate pair, which is no character and cannot be written as UTF-8.
    """
    if not isinstance(value, str):
        raise InvalidValue(f"{name} is {abbreviated(value)}; give a text.")
    if len(value) > max_characters:
        raise InvalidValue(
            f"{name} has {len(value):,} characters; at most {max_characters:,} are allowed. "
            "Shorten it."
        )
    if broken := _HALF_CHARACTER.search(value):
        raise InvalidValue(
            f"{name} has half of a character at place {broken.end():,} (U+{ord(broken[0]):04X}); "
            "give a text of whole ones. Remove it, or copy the text again."
        )
    return value


def choice(name: str, value: object, options: Sequence[str]) -> str:
    """``value`` if it is one of the options.

    Raises:
        InvalidValue: it is none of them; the message lists them.
    """
    if not isinstance(value, str) or value not in options:
        raise InvalidValue(f"{name} is {abbreviated(value)}; choose one of: {', '.join(options)}.")
    return value


def known_task(value: object, name: str = "task") -> TaskRecord:
    """The record of the task that ``value`` names.

    Raises:
        InvalidValue: there is none of that name.
    """
    return TASKS[cast(Task, choice(name, value, tuple(TASKS)))]


def seed_or_none(value: object) -> int | None:
    """A seed from 0 to 2^63 - 1; None and -1 stand for a random one, and become None.

    Raises:
        InvalidValue: anything else.
    """
    otherwise = ", or -1 for a random one"
    return None if _is_own(value) else whole_number("seed", value, 0, MAX_SEED, otherwise)


_Record = TypeVar("_Record")
EXACT = ConfigDict(extra="forbid")
"""As ``__pydantic_config__`` of a dataclass: fields that it does not have are refused."""
Bound = float | str
"""A number, or the name of one of ``Limits``."""


@dataclass(frozen=True)
class Rule(ABC):
    """What a field may hold. Stands in its ``Annotated`` type."""

    @abstractmethod
    def check(self, name: str, value: object, limits: Limits) -> Any:
        """The value as the request is to have it.

        Raises:
            InvalidValue: the field called ``name`` may not hold it.
        """

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        def checked(value: object, info: core_schema.ValidationInfo[Any]) -> Any:
            return self.check(str(info.field_name), value, info.context)

        return core_schema.with_info_plain_validator_function(checked)


@dataclass(frozen=True)
class Unchecked(Rule):
    """Anything: it is checked elsewhere, a model's reference by ``hub``."""

    def check(self, name: str, value: object, limits: Limits) -> Any:
        return value


@dataclass(frozen=True)
class Whole(Rule):
    """A whole number from ``low`` to ``high``; with ``or_own`` also None, for the model's own."""

    low: int
    high: Bound
    or_own: bool = False

    def check(self, name: str, value: object, limits: Limits) -> int | None:
        if self.or_own and _is_own(value):
            return None
        otherwise = _OR_OWN if self.or_own else ""
        return whole_number(name, value, self.low, int(bound(self.high, limits)), otherwise)


@dataclass(frozen=True)
class Number(Rule):
    """A number from ``low`` to ``high``; with ``or_own`` also None, for the model's own."""

    low: float
    high: Bound
    or_own: bool = False

    def check(self, name: str, value: object, limits: Limits) -> float | None:
        if self.or_own and _is_own(value):
            return None
        otherwise = _OR_OWN if self.or_own else ""
        return number(name, value, self.low, bound(self.high, limits), otherwise)


@dataclass(frozen=True)
class Text(Rule):
    """A string of at most so many characters."""

    most_characters: Bound

    def check(self, name: str, value: object, limits: Limits) -> str:
        return text(name, value, int(bound(self.most_characters, limits)))


@dataclass(frozen=True)
class Choice(Rule):
    """One of these words."""

    options: tuple[str, ...]

    def check(self, name: str, value: object, limits: Limits) -> str:
        return choice(name, value, self.options)


@dataclass(frozen=True)
class Seed(Rule):
    """A seed, or None for a random one."""

    def check(self, name: str, value: object, limits: Limits) -> int | None:
        return seed_or_none(value)


def bound(limit: Bound, limits: Limits) -> float:
    """A bound as a number."""
    return float(getattr(limits, limit)) if isinstance(limit, str) else limit


def checked(record: _Record, limits: Limits) -> _Record:
    """A dataclass whose fields have rules, with every field as its rule gives it.

    Raises:
        InvalidValue: naming the first field that may not hold its value.
    """
    fields = dataclasses.fields(record)  # type: ignore[arg-type]
    return parsed(type(record), {f.name: getattr(record, f.name) for f in fields}, limits)


def parsed(kind: type[_Record], values: object, limits: Limits) -> _Record:
    """A dataclass or model made of plain values by name, each checked by its rule.

    Raises:
        InvalidValue: a field is missing, may not hold its value, or is unknown to an ``EXACT``
            kind.
    """
    try:
        record: _Record = _adapter(cast(Any, kind)).validate_python(values, context=limits)
    except ValidationError as error:
        raise InvalidValue(in_words(error)) from error
    return record


def defaults_of(kind: type[Any]) -> dict[str, Any]:
    """The fields of a dataclass that may be left out, with the values that they have then."""
    fields = dataclasses.fields(kind)
    return {f.name: f.default for f in fields if f.default is not dataclasses.MISSING}


def rule_of(kind: type[Any], name: str) -> Rule:
    """The rule of a field, for a page to show its range."""
    annotation = get_type_hints(kind, include_extras=True)[name]
    return next(rule for rule in annotation.__metadata__ if isinstance(rule, Rule))


_NEEDED = {"tuple_type": "a list is needed", "dataclass_type": "named fields are needed"}
"""What pydantic needed, by its types of errors, where its own words are for programmers."""


def in_words(error: ValidationError) -> str:
    """The first thing that pydantic found wrong, as a sentence for people."""
    first = error.errors(include_url=False, include_context=False)[0]
    name = ".".join(map(str, first["loc"])) or "it"
    if first["type"] == "missing":
        return f"{name} is missing. Copy it whole."
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"There is no field {name}. Remove it, or update this program."
    given, needed = abbreviated(first["input"]), _NEEDED.get(first["type"], first["msg"])
    return f"{name} is {given}; {needed}. Copy it as it was made."


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
