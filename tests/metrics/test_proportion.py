"""Shares and Wilson's interval."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.errors import InvalidValue
from pipelines.metrics.proportion import proportion


def test_the_interval_is_the_published_one() -> None:
    """Newcombe (1998, Statistics in Medicine 17:857), table I, method 3: 81 of 263."""
    score = proportion([True] * 81 + [False] * 182, "hand")
    assert score.value == pytest.approx(81 / 263)
    assert (score.low, score.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@pytest.mark.parametrize(("hits", "low", "high"), [(0, 0.0, 0.1135), (30, 0.8865, 1.0)])
def test_none_and_all_of_thirty_still_leave_room(hits: int, low: float, high: float) -> None:
    score = proportion([True] * hits + [False] * (30 - hits), "hand")
    assert (score.low, score.high) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("n", [8, 9, 22, 30, 64, 512, 10_007])
def test_the_interval_of_none_begins_at_0_and_that_of_all_ends_at_1(n: int) -> None:
    none, every = proportion([False] * n, "hand"), proportion([True] * n, "hand")
    assert (none.low, every.high) == (0, 1)
    assert 0 < none.high < 1
    assert 0 < every.low < 1


def test_nineteen_of_twenty_intervals_hold_the_true_share() -> None:
    rng = np.random.default_rng(0)
    draws = [proportion(list(rng.random(60) < 0.3), "coin") for _ in range(2000)]
    assert np.mean([s.low <= 0.3 <= s.high for s in draws]) == pytest.approx(0.95, abs=0.02)


def test_order_does_not_matter_and_samples_twice_leave_less_doubt() -> None:
    hits = [True, False, False, True, True] * 2
    once, twice = proportion(hits, "hand"), proportion(hits * 2, "hand")
    assert proportion(hits[::-1], "hand") == once
    assert twice.value == once.value
    assert twice.high - twice.low < once.high - once.low


@pytest.mark.parametrize("hit", [True, False])
def test_a_few_samples_are_a_share_without_an_interval(hit: bool) -> None:
    """Exact match of 2 samples had an interval, and all other scores had none."""
    score = proportion([hit] * 7, "hand")
    assert score.value == hit
    assert np.isnan([score.low, score.high]).all()


def test_a_signature_names_the_judge_and_the_count() -> None:
    score = proportion([True, False], "hand", higher_is_better=False)
    assert score.signature == f"share|judge:hand|samples:2|ci:wilson|numpy:{np.__version__}"
    assert (score.samples, score.higher_is_better) == (2, False)


def test_no_samples_have_no_share() -> None:
    with pytest.raises(InvalidValue, match="no samples"):
        proportion([], "hand")
