"""Checks of a request's fields: one function for each kind, one wording for all.

They accept what means the same without doubt (``20.0`` for 20) and refuse the rest;
they never clamp, for then a result would not be what was asked for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TypeGuard

from pipelines.errors import InvalidValue, abbreviated

MAX_SEED = 2**63 - 1
OWN = -1
"""What leaves a setting to the model, in fields and links; checked requests say None."""
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_OR_OWN = f", or {OWN} for the model's own"


def whole_number(name: str, value: object, low: int, high: int, otherwise: str = "") -> int:
    """``value`` as an int in [low, high].

    Args:
        otherwise: what else may be given, at the end of the message.

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


def whole_number_or_own(name: str, value: object, low: int, high: int) -> int | None:
    """As ``whole_number``; None and -1 leave it to the model, and become None."""
    return None if _is_own(value) else whole_number(name, value, low, high, _OR_OWN)


def number(name: str, value: object, low: float, high: float, otherwise: str = "") -> float:
    """``value`` as a finite float in [low, high].

    Args:
        otherwise: what else may be given, at the end of the message.

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


def number_or_own(name: str, value: object, low: float, high: float) -> float | None:
    """As ``number``; None and -1 leave it to the model, and become None."""
    return None if _is_own(value) else number(name, value, low, high, _OR_OWN)


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


def seed_or_none(value: object) -> int | None:
    """A seed from 0 to 2^63 - 1; None and -1 ask for a random one."""
    if value is None or (value == -1 and not isinstance(value, bool)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_SEED:
        raise InvalidValue(
            f"seed is {abbreviated(value)}; give a whole number from 0 to {MAX_SEED}, "
            "or -1 for a random one."
        )
    return value
