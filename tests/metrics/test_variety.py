"""Variety of pictures by hand, and its intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipelines.errors import InvalidValue
from pipelines.metrics.variety import mean_cosine_distance

EXTRACTOR = "captioner@0123abcd"


def normal(seed: int, n: int, d: int) -> Any:
    return np.random.default_rng(seed).normal(size=(n, d)) + 0.5


def test_three_pictures_by_hand() -> None:
    rows = np.array([[1.0, 0.0], [0.0, 5.0], [-2.0, 0.0]])
    assert mean_cosine_distance(rows, EXTRACTOR).value == pytest.approx((1 + 1 + 2) / 3)


@pytest.mark.parametrize("n", [2, 7, 30])
def test_pictures_with_nothing_in_common_are_at_distance_one(n: int) -> None:
    assert mean_cosine_distance(np.eye(n), EXTRACTOR).value == pytest.approx(1)


@pytest.mark.parametrize("n", [2, 7, 30])
def test_equal_pictures_are_at_distance_zero(n: int) -> None:
    same = np.full((n, 4), 0.1)
    score = mean_cosine_distance(same, EXTRACTOR)
    assert 0 <= score.value == pytest.approx(0, abs=1e-12)


def test_order_and_length_do_not_matter() -> None:
    rows = normal(0, 25, 6)
    score, again = (
        mean_cosine_distance(rows, EXTRACTOR),
        mean_cosine_distance(rows[::-1] * 1e20, EXTRACTOR),
    )
    assert (again.value, again.low, again.high) == pytest.approx(
        (score.value, score.low, score.high)
    )
    assert score.low < score.value < score.high


def test_pictures_twice_are_nearer_to_each_other() -> None:
    rows = normal(0, 25, 6)
    twice = np.repeat(rows, 2, axis=0)
    # Of pairs of different pictures, some are now equal.
    assert mean_cosine_distance(twice, EXTRACTOR).value == pytest.approx(
        mean_cosine_distance(rows, EXTRACTOR).value * 48 / 49
    )


def test_the_interval_of_the_distance_is_that_of_leaving_out_each_picture() -> None:
    rows = normal(0, 12, 3)
    without = np.array(
        [mean_cosine_distance(np.delete(rows, i, axis=0), EXTRACTOR).value for i in range(12)]
    )
    score = mean_cosine_distance(rows, EXTRACTOR)
    assert score.high - score.value == pytest.approx(
        2.200985 * np.sqrt(11 * without.var()), rel=1e-3
    )


def test_too_few_pictures_warn() -> None:
    assert mean_cosine_distance(normal(0, 20, 3), EXTRACTOR).warning is None
    few = mean_cosine_distance(normal(0, 19, 3), EXTRACTOR)
    assert few.warning is not None and few.warning.startswith("19 pictures; give at least 20")
    assert "(captioner@0123abcd)|" in few.signature
    assert "|n:19|ci:jackknife-t|" in few.signature


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.ones((1, 3)), "give at least 2 rows"),
        (np.ones((0, 3)), "give at least 2 rows"),
        (np.ones(3), "one row a picture"),
        (np.full((3, 3), np.inf), "features holds NaN, infinity"),
        (np.array([[1.0, 0], [0, 0]]), "row 1 of features holds nothing but 0"),
    ],
)
def test_what_cannot_be_measured_is_refused(features: Any, message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        mean_cosine_distance(features, EXTRACTOR)
    with pytest.raises(InvalidValue, match="extractor is 'inception'"):
        mean_cosine_distance(np.eye(3), "inception")
