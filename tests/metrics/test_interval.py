"""Intervals: as wide as statistics says, and the same for the same samples."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.metrics import interval


def mean(sums: interval.Array) -> float:
    return float(sums[0] / sums[1])


def rows(values: interval.Array) -> interval.Array:
    return np.column_stack([values, np.ones_like(values)])


def test_the_interval_of_a_mean_is_that_of_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=400)
    low, high = interval.bootstrap(rows(values), mean, seed=0)
    reach = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - reach, abs=0.15 * reach)
    assert high == pytest.approx(values.mean() + reach, abs=0.15 * reach)


def test_the_order_of_the_samples_does_not_matter_and_the_seed_does() -> None:
    values = np.random.default_rng(0).normal(size=50)
    first = interval.bootstrap(rows(values), mean, seed=3)
    assert interval.bootstrap(rows(values[::-1]), mean, seed=3) == first
    assert interval.bootstrap(rows(values), mean, seed=4) != first


def test_the_process_keeps_its_own_random_numbers() -> None:
    np.random.seed(0)
    expected = np.random.random()
    np.random.seed(0)
    interval.bootstrap(rows(np.arange(5.0)), mean, seed=0)
    assert np.random.random() == expected


def test_a_standard_error_reaches_both_ways() -> None:
    assert interval.normal(3.0, 4.0) == pytest.approx((-0.919928, 6.919928))
    assert interval.normal(3.0, 0.0) == (3.0, 3.0)
