"""Checks accept what means the same without doubt, and refuse the rest by name and limit."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pipelines import validation
from pipelines.errors import InvalidValue
from pipelines.settings import Limits
from pipelines.validation import Number, Whole

STEPS, GUIDANCE = Whole(1, "steps", or_own=True), Number(0, "guidance_scale", or_own=True)
LIMITS = Limits()


@pytest.mark.parametrize(("given", "is_read_as"), [(1, 1), (150, 150), (20.0, 20)])
def test_whole_numbers_in_range_pass(given: Any, is_read_as: int) -> None:
    value = validation.whole_number("steps", given, 1, 150)
    assert value == is_read_as
    assert type(value) is int


@pytest.mark.parametrize(
    "given", [0, 151, 10_000, -1, 5.5, True, False, "20", None, [20], math.nan, math.inf, -math.inf]
)
def test_what_is_no_whole_number_in_range_is_refused(given: Any) -> None:
    with pytest.raises(InvalidValue, match=r"^steps is .*; give a whole number from 1 to 150\.$"):
        validation.whole_number("steps", given, 1, 150)


@pytest.mark.parametrize("given", [0, 0.0, 4, 7.5, 30])
def test_numbers_in_range_pass(given: Any) -> None:
    value = validation.number("guidance_scale", given, 0, 30)
    assert value == given
    assert type(value) is float


@pytest.mark.parametrize(
    "given", [-0.1, 30.1, math.nan, math.inf, -math.inf, True, "4", None, {}, 10**400]
)
def test_what_is_no_number_in_range_is_refused(given: Any) -> None:
    with pytest.raises(InvalidValue, match=r"^guidance_scale is .*; give a number from 0 to 30\.$"):
        validation.number("guidance_scale", given, 0, 30)


@pytest.mark.parametrize("given", [None, -1, -1.0])
def test_what_is_left_to_the_model_is_none(given: Any) -> None:
    assert STEPS.check("steps", given, LIMITS) is None
    assert GUIDANCE.check("guidance_scale", given, LIMITS) is None


@pytest.mark.parametrize("given", [-2, 151, True, "-1", math.nan])
def test_what_is_neither_in_range_nor_left_to_the_model_is_refused(given: Any) -> None:
    with pytest.raises(InvalidValue, match=r"from 1 to 150, or -1 for the model's own\.$"):
        STEPS.check("steps", given, LIMITS)
    with pytest.raises(InvalidValue, match=r"from 0 to 30, or -1 for the model's own\.$"):
        GUIDANCE.check("guidance_scale", given, LIMITS)


def test_what_is_in_range_is_not_left_to_the_model() -> None:
    assert STEPS.check("steps", 1.0, LIMITS) == 1
    assert GUIDANCE.check("guidance_scale", 0, LIMITS) == 0
    with pytest.raises(InvalidValue, match="steps is 0"):
        STEPS.check("steps", 0, LIMITS)


@pytest.mark.parametrize("given", ["", "a cat", "x" * 50])
def test_texts_within_the_limit_pass_unchanged(given: str) -> None:
    assert validation.text("prompt", given, 50) == given


def test_a_long_text_is_refused_with_both_lengths() -> None:
    with pytest.raises(InvalidValue, match="prompt has 100,000 characters; at most 20,000 are"):
        validation.text("prompt", "x" * 100_000, 20_000)


@pytest.mark.parametrize("given", [None, 7, True, ["a"], b"a", math.nan])
def test_what_is_no_text_is_refused(given: Any) -> None:
    with pytest.raises(InvalidValue, match=r"^prompt is .*; give a text\.$"):
        validation.text("prompt", given, 50)


@pytest.mark.parametrize("given", ["\ud800", "a cat \udfff"])
def test_half_a_character_is_refused_with_its_place(given: str) -> None:
    """A tokenizer would fail on it, and nobody could tell why."""
    told = rf"^prompt has half of a character at place {len(given)} "
    with pytest.raises(InvalidValue, match=told):
        validation.text("prompt", given, 50)
    assert validation.text("prompt", "whole: \U0001f355", 50)


def test_a_choice_passes_and_others_are_refused_with_the_list() -> None:
    assert validation.choice("scheduler", "Euler", ["DDIM", "Euler"]) == "Euler"
    for given in ("euler", "", None, 0, True, ["Euler"]):
        with pytest.raises(InvalidValue, match=r"^scheduler is .*; choose one of: DDIM, Euler\.$"):
            validation.choice("scheduler", given, ["DDIM", "Euler"])


@pytest.mark.parametrize("given", [None, -1, -1.0])
def test_none_and_minus_one_ask_for_a_random_seed(given: Any) -> None:
    assert validation.seed_or_none(given) is None


@pytest.mark.parametrize(("given", "seed"), [(0, 0), (7.0, 7), (2**63 - 1, 2**63 - 1)])
def test_seeds_pass_and_zero_is_one(given: Any, seed: int) -> None:
    assert validation.seed_or_none(given) == seed


@pytest.mark.parametrize("given", [-2, 2**63, 0.5, True, False, "7", math.nan, math.inf, [1]])
def test_what_is_no_seed_is_refused(given: Any) -> None:
    with pytest.raises(InvalidValue, match=r"^seed is .*; give a whole number from 0 to 92233720"):
        validation.seed_or_none(given)


def test_a_message_stays_short_whatever_was_given() -> None:
    with pytest.raises(InvalidValue) as caught:
        validation.whole_number("steps", "9" * 100_000, 1, 150)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("value", "is_one"),
    [(0, True), (-2.5, True), (10**299, True), (10**400, False), (math.nan, False),
     (-math.inf, False), (True, False), ("1", False), (None, False)],
)  # fmt: skip
def test_a_number_that_a_float_can_hold_is_finite(value: Any, is_one: bool) -> None:
    assert validation.is_finite(value) is is_one


def test_a_task_is_known_by_its_name_and_others_are_refused_with_the_list() -> None:
    assert validation.known_task("paint").makes == "pictures"
    for given in ("Paint", "", None, 0, ["paint"]):
        with pytest.raises(InvalidValue, match=r"^task is .*; choose one of: write, paint, descr"):
            validation.known_task(given)
