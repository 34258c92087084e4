"""Errors that visitors read, and the one that nobody does."""

from __future__ import annotations

import errno

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


def test_a_full_disk_is_known_whoever_says_it() -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "/somewhere/a.png")
    wrapped = errors.LoadFailed("it could not be kept")
    wrapped.__cause__ = full
    rust = RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    for error in (full, OSError(errno.EDQUOT, "quota"), wrapped, rust):
        said = errors.full_disk(error)
        assert said is not None and "Make room" in str(said)
        assert "/somewhere" not in str(said)
    assert errors.full_disk(OSError(errno.EACCES, "denied")) is None
    assert errors.full_disk(errors.InvalidValue("steps")) is None
