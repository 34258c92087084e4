"""Paired tests of whole sets: the scores are the metrics', and the chances are right."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.metrics.kernel import kernel_distance
from pipelines.metrics.variety import mean_cosine_distance
from pipelines.model_comparison.evaluation.sets import kernel_distance_test, mean_distance_test

EXTRACTOR = "x@" + "0" * 16
RNG = np.random.default_rng(0)
REAL = RNG.normal(size=(40, 6))
OURS, THEIRS = RNG.normal(size=(24, 6)), RNG.normal(size=(24, 6)) * 1.8 + 0.6


def test_the_difference_is_that_of_the_metrics() -> None:
    found = kernel_distance_test(OURS, THEIRS, REAL, seed=0)
    assert found.first == pytest.approx(kernel_distance(OURS, REAL, EXTRACTOR).value)
    assert found.second == pytest.approx(kernel_distance(THEIRS, REAL, EXTRACTOR).value)
    found = mean_distance_test(OURS, THEIRS, seed=0)
    assert found.first == pytest.approx(mean_cosine_distance(OURS, EXTRACTOR).value)
    assert found.second == pytest.approx(mean_cosine_distance(THEIRS, EXTRACTOR).value)


def test_a_clear_difference_is_shown_and_none_is_not() -> None:
    far = kernel_distance_test(OURS, THEIRS, REAL, seed=0)
    assert far.is_shown
    assert far.low <= far.difference <= far.high < 0
    near = RNG.normal(size=(24, 6))
    assert not kernel_distance_test(OURS, near, REAL, seed=0).is_shown
    assert kernel_distance_test(OURS, OURS, REAL, seed=0).randomisation_p == 1


def test_which_comes_first_turns_the_sign() -> None:
    one, other = (kernel_distance_test(*pair, REAL, 0) for pair in ((OURS, THEIRS), (THEIRS, OURS)))
    assert one.difference == pytest.approx(-other.difference)


def test_two_samples_do() -> None:
    assert np.isfinite(kernel_distance_test(OURS[:2], THEIRS[:2], REAL, 0).low)
    assert np.isfinite(mean_distance_test(OURS[:2], THEIRS[:2], 0).high)
