"""Variety of pictures by hand, and its intervals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipelines.errors import InvalidValue
from pipelines.metrics.score import Score, ranked
from pipelines.metrics.variety import mean_cosine_distance, vendi_score

EXTRACTOR = "captioner@0123abcd"
METRICS: list[Callable[..., Score]] = [mean_cosine_distance, vendi_score]


def normal(seed: int, n: int, d: int) -> Any:
    return np.random.default_rng(seed).normal(size=(n, d)) + 0.5


def test_three_pictures_by_hand() -> None:
    rows = np.array([[1.0, 0.0], [0.0, 5.0], [-2.0, 0.0]])
    assert mean_cosine_distance(rows, EXTRACTOR).value == pytest.approx((1 + 1 + 2) / 3)
    # Eigenvalues of cos / 3: the first and third are one direction.
    expected = math.exp(-(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3)))
    assert vendi_score(rows, EXTRACTOR).value == pytest.approx(expected)


@pytest.mark.parametrize("n", [2, 7, 30])
def test_pictures_with_nothing_in_common_all_count(n: int) -> None:
    score = vendi_score(np.eye(n), EXTRACTOR)
    assert (score.value, score.low, score.high) == pytest.approx((n, n, n))
    assert mean_cosine_distance(np.eye(n), EXTRACTOR).value == pytest.approx(1)


@pytest.mark.parametrize("n", [2, 7, 30])
def test_equal_pictures_count_as_one(n: int) -> None:
    same = np.full((n, 4), 0.1)
    score = vendi_score(same, EXTRACTOR)
    assert (score.value, score.low, score.high) == pytest.approx((1, 1, 1))
    score = mean_cosine_distance(same, EXTRACTOR)
    assert (score.value, score.low, score.high) == pytest.approx((0, 0, 0), abs=1e-12)
    assert score.value >= 0


@pytest.mark.parametrize(("n", "d"), [(5, 20), (20, 5), (12, 12)])
def test_the_vendi_score_is_that_of_the_kernels_eigenvalues(n: int, d: int) -> None:
    rows = normal(0, n, d)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    shares = np.linalg.eigvalsh(unit @ unit.T / n).clip(1e-15)
    expected = math.exp(-(shares * np.log(shares)).sum())
    assert vendi_score(rows, EXTRACTOR).value == pytest.approx(expected)


@pytest.mark.parametrize("metric", METRICS)
def test_order_and_length_do_not_matter(metric: Any) -> None:
    rows = normal(0, 25, 6)
    score, again = metric(rows, EXTRACTOR), metric(rows[::-1] * 1e20, EXTRACTOR)
    assert (again.value, again.low, again.high) == pytest.approx(
        (score.value, score.low, score.high)
    )
    assert score.low < score.value < score.high


def test_pictures_twice_are_as_many_different_ones() -> None:
    rows = normal(0, 25, 6)
    twice = np.repeat(rows, 2, axis=0)
    assert vendi_score(twice, EXTRACTOR).value == pytest.approx(vendi_score(rows, EXTRACTOR).value)
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
    assert score.high - score.value == pytest.approx(1.959964 * np.sqrt(11 * without.var()))


def test_the_interval_of_the_vendi_score_is_nearly_that_of_leaving_out_each_picture() -> None:
    rows = np.exp(normal(0, 200, 3))
    without = np.log([vendi_score(np.delete(rows, i, axis=0), EXTRACTOR).value for i in range(200)])
    score = vendi_score(rows, EXTRACTOR)
    reach = 1.959964 * np.sqrt(199 * without.var())
    assert math.log(score.high / score.value) == pytest.approx(reach, rel=0.05)
    assert math.log(score.value / score.low) == pytest.approx(reach, rel=0.05)


@pytest.mark.parametrize("metric", METRICS)
def test_too_few_pictures_warn_and_are_not_ranked(metric: Any) -> None:
    assert metric(normal(0, 20, 3), EXTRACTOR).is_reliable
    few = metric(normal(0, 19, 3), EXTRACTOR)
    with pytest.raises(InvalidValue, match="mine cannot be ranked: 19 pictures; give at least 20"):
        ranked({"mine": few})
    assert "(captioner@0123abcd)|" in few.signature
    assert "|n:19|ci:jackknife|" in few.signature


@pytest.mark.parametrize("metric", METRICS)
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
def test_what_cannot_be_measured_is_refused(metric: Any, features: Any, message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        metric(features, EXTRACTOR)
    with pytest.raises(InvalidValue, match="extractor is 'inception'"):
        metric(np.eye(3), "inception")
