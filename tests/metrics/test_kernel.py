"""The kernel distance against its definition, pair by pair."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.errors import InvalidValue
from pipelines.metrics import kernel
from pipelines.metrics.kernel import kernel_distance

EXTRACTOR = "captioner@0123abcd"

Array = npt.NDArray[Any]


def distance(x: Array, y: Array) -> float:
    return kernel_distance(x, y, EXTRACTOR).value


def normal(seed: int, n: int, d: int) -> Array:
    return np.random.default_rng(seed).normal(size=(n, d))


def by_pairs(x: Array, y: Array) -> float:
    """Binkowski et al., equation 4, with the kernel of section 4."""

    def k(a: Array, b: Array) -> float:
        return float((a @ b / len(a) + 1) ** 3)

    def within(z: Array) -> float:
        return float(np.mean([k(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j]))

    return within(x) + within(y) - 2 * float(np.mean([k(a, b) for a in x for b in y]))


def test_points_by_hand() -> None:
    # k(0, 0) = 1, k(1, 1) = 8, k(0, 1) = 1.
    score = kernel_distance(np.zeros((3, 1)), np.ones((4, 1)), EXTRACTOR)
    assert score.value == 7


def test_three_samples_by_hand() -> None:
    # Pairs of x: 0·1, 0·2, 1·2 give 1, 1 and 27; with y = 1 each: 1, 8 and 27.
    x, y = np.array([[0.0], [1.0], [2.0]]), np.ones((3, 1))
    assert distance(x, y) == pytest.approx(29 / 3 + 8 - 2 * 36 / 3)


@pytest.mark.parametrize(("n", "m", "d"), [(3, 3, 1), (7, 4, 5), (12, 9, 2)])
def test_the_distance_is_that_over_all_pairs(n: int, m: int, d: int) -> None:
    x, y = normal(1, n, d), normal(2, m, d) * 2 + 1
    assert distance(x, y) == pytest.approx(by_pairs(x, y))
    x, y = np.repeat(x, 2, axis=0), np.repeat(y, 3, axis=0)
    assert distance(x, y) == pytest.approx(by_pairs(x, y))


def test_the_interval_is_that_of_leaving_out_each_sample() -> None:
    x, y = normal(1, 12, 3), normal(2, 9, 3) + 1
    without_x = np.array([by_pairs(np.delete(x, i, axis=0), y) for i in range(12)])
    without_y = np.array([by_pairs(x, np.delete(y, i, axis=0)) for i in range(9)])
    reach = 2.306004 * np.sqrt(11 * without_x.var() + 8 * without_y.var())
    score = kernel_distance(x, y, EXTRACTOR)
    expected = (score.value - reach, score.value + reach)
    assert (score.low, score.high) == pytest.approx(expected, rel=1e-3)


def test_order_and_direction_do_not_matter() -> None:
    x, y = normal(1, 20, 4), normal(2, 15, 4) + 1
    score = kernel_distance(x, y, EXTRACTOR)
    for again in (
        kernel_distance(x[::-1], np.roll(y, 3, axis=0), EXTRACTOR),
        kernel_distance(y, x, EXTRACTOR),
    ):
        assert (again.value, again.low, again.high) == pytest.approx(
            (score.value, score.low, score.high)
        )


def test_blocks_do_not_change_the_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = normal(1, 21, 4), normal(2, 15, 4) + 1
    whole = kernel_distance(x, y, EXTRACTOR)
    monkeypatch.setattr(kernel, "BLOCK_ROWS", 4)
    parts = kernel_distance(x, y, EXTRACTOR)
    assert (parts.value, parts.low, parts.high) == pytest.approx(
        (whole.value, whole.low, whole.high)
    )


def test_samples_of_one_distribution_score_0_on_average() -> None:
    scores = [
        kernel_distance(normal(seed, 10, 6), normal(1000 + seed, 14, 6), EXTRACTOR)
        for seed in range(300)
    ]
    values = np.array([score.value for score in scores])
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(300)
    assert values.min() < 0
    assert np.mean([score.low <= 0 <= score.high for score in scores]) > 0.9


def test_equal_samples_are_at_distance_0() -> None:
    same = np.full((5, 3), 2.0)
    score = kernel_distance(same, same, EXTRACTOR)
    assert score.value == 0


def test_a_signature_names_the_extractor_and_the_counts() -> None:
    score = kernel_distance(normal(1, 4, 3), normal(2, 5, 3), EXTRACTOR)
    assert score.signature == (
        f"KID(captioner@0123abcd)|n:4|m:5|d:3|ci:jackknife-t|numpy:{np.__version__}"
    )
    assert score.samples == 4
    assert not score.higher_is_better


def test_two_samples_have_a_distance_by_hand() -> None:
    # 0·1 gives 1 among x and 8 among y; across 1, 1, 1 and 8.
    x, y = np.array([[0.0], [1.0]]), np.array([[1.0], [1.0]])
    score = kernel_distance(x, y, EXTRACTOR)
    assert score.value == pytest.approx(1 + 8 - 2 * (1 + 1 + 8 + 8) / 4)


def test_too_few_samples_warn() -> None:
    enough, few = normal(1, 20, 3), normal(2, 19, 3)
    assert kernel_distance(enough, enough, EXTRACTOR).warning is None
    assert kernel_distance(few, enough, EXTRACTOR).warning is not None
    told = kernel_distance(enough, few, EXTRACTOR).warning
    assert told is not None and told.startswith("20 samples against 19; below 20 of each")


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_samples_are_refused(rows: int) -> None:
    few, enough = np.zeros((rows, 3)), normal(1, 5, 3)
    with pytest.raises(InvalidValue, match=rf"features has shape \({rows}, 3\); give at least 2"):
        distance(few, enough)
    with pytest.raises(InvalidValue, match=rf"reference has shape \({rows}, 3\); give at least 2"):
        distance(enough, few)


def test_an_extractor_without_a_hash_is_refused() -> None:
    with pytest.raises(InvalidValue, match="extractor is 'inception'"):
        kernel_distance(normal(1, 5, 3), normal(2, 5, 3), "inception")
