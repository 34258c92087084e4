"""Errors that visitors read, and the one that nobody does."""

from __future__ import annotations

import pytest

from pipelines import errors


@pytest.mark.parametrize(
    "kind",
    [
        errors.InvalidValue,
        errors.ModelUnavailable,
        errors.WrongTask,
        errors.LoadFailed,
        errors.OutOfBudget,
    ],
)
def test_everything_a_visitor_can_act_on_is_one_family(kind: type[Exception]) -> None:
    assert issubclass(kind, errors.StudioError)


def test_a_cancelled_run_is_no_message_to_anybody() -> None:
    assert not issubclass(errors.Cancelled, errors.StudioError)


def test_abbreviated_shows_short_values_whole_and_cuts_long_ones() -> None:
    assert errors.abbreviated("a\nb") == r"'a\nb'"
    assert errors.abbreviated("x" * 58) == repr("x" * 58)
    long = errors.abbreviated("x" * 100_000)
    assert len(long) == 60
    assert long.endswith("…")


def test_a_name_is_put_before_a_message_and_the_class_stays() -> None:
    named = pytest.raises(errors.WrongTask, match=r"^A \(one\): it paints$")
    with named, errors.naming("A (one)"):
        raise errors.WrongTask("it paints")
    with pytest.raises(KeyError, match=r"^'x'$"), errors.naming("A"):
        raise KeyError("x")


def test_names_are_listed_as_people_do() -> None:
    assert errors.listed(["a"]) == "a"
    assert errors.listed(["a", "b"]) == "a and b"
    assert errors.listed(iter("abc")) == "a, b and c"
