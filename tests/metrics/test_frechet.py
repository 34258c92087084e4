"""The Fréchet distance against closed forms, and where others fail."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.errors import InvalidValue
from pipelines.metrics.frechet import distance_of_sets, frechet_distance, reliable_from

EXTRACTOR = "captioner@0123abcd"

Array = npt.NDArray[Any]


def distance(x: Array, y: Array) -> float:
    return frechet_distance(x, y, EXTRACTOR).value


def normal(seed: int, n: int, d: int) -> Array:
    return np.random.default_rng(seed).normal(size=(n, d))


def by_matrix_root(x: Array, y: Array) -> float:
    """The textbook's ``|μ₁ - μ₂|² + tr(S + T - 2(S^½ T S^½)^½)``."""
    s, t = np.cov(x.T), np.cov(y.T)
    values, vectors = np.linalg.eigh(s)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ t @ root).clip(0)).sum()
    shift = x.mean(0) - y.mean(0)
    return float(shift @ shift + np.trace(s) + np.trace(t) - 2 * shared)


def axes(lengths: Array, centre: Array) -> Array:
    """2d samples whose covariance is diagonal: ``2 lengths² / (2d - 1)``."""
    return np.concatenate([np.diag(lengths), -np.diag(lengths)]) + centre


def test_one_dimension_by_hand() -> None:
    # Means 0 and 2, variances 2 and 8: 4 + 2 + 8 - 2 * sqrt(16).
    assert distance(np.array([[-1.0], [1.0]]), np.array([[0.0], [4.0]])) == pytest.approx(6)


def test_fewer_samples_than_dimensions_by_hand() -> None:
    direction = np.array([[2.0, 3.0, 6.0, 0.0, 0.0]]) / 7
    x, y = np.array([[-1.0], [1.0]]) @ direction, np.array([[0.0], [4.0]]) @ direction
    assert distance(x, y) == pytest.approx(6)


def test_diagonal_covariances_in_closed_form() -> None:
    first, second = np.array([1.0, 2.0, 3.0]), np.array([2.0, 5.0, 0.5])
    x, y = axes(first, np.zeros(3)), axes(second, np.array([1.0, 0.0, -2.0]))
    assert distance(x, y) == pytest.approx(5 + 2 / 5 * ((first - second) ** 2).sum())


@pytest.mark.parametrize(
    ("n", "m", "d"), [(5, 7, 20), (40, 30, 8), (6, 40, 20), (40, 6, 20), (20, 20, 20), (2, 2, 1)]
)
def test_any_number_of_samples_gives_what_the_matrix_root_gives(n: int, m: int, d: int) -> None:
    x = normal(1, n, d) @ normal(2, d, d) + 1
    y = normal(3, m, d) @ normal(4, d, d)
    if d == 1:
        assert distance(x, y) == pytest.approx(
            (x.mean() - y.mean()) ** 2 + (x.std(ddof=1) - y.std(ddof=1)) ** 2
        )
    else:
        assert distance(x, y) == pytest.approx(by_matrix_root(x, y), rel=1e-6)


@pytest.mark.parametrize("n", [9, 60])
def test_order_and_direction_do_not_matter(n: int) -> None:
    x, y = normal(1, n, 12), 2 * normal(2, n + 1, 12)
    shuffled = np.random.default_rng(0).permutation(x)
    score, again = frechet_distance(x, y, EXTRACTOR), frechet_distance(shuffled, y, EXTRACTOR)
    assert (again.value, again.low, again.high) == pytest.approx(
        (score.value, score.low, score.high)
    )
    assert distance(y, x) == pytest.approx(score.value)


@pytest.mark.parametrize("n", [5, 50])
def test_samples_twice_change_the_covariance_only_by_its_divisor(n: int) -> None:
    x, y = normal(1, n, 10), normal(2, n, 10) + 1
    shift = ((x.mean(0) - y.mean(0)) ** 2).sum()
    twice = distance(np.repeat(x, 2, axis=0), np.repeat(y, 2, axis=0))
    factor = 2 * (n - 1) / (2 * n - 1)
    assert twice - shift == pytest.approx(factor * (distance(x, y) - shift))


@pytest.mark.parametrize("n", [2, 5, 50])
def test_a_shifted_copy_is_as_far_as_the_shift(n: int) -> None:
    x = normal(1, n, 10) * 100
    assert distance(x, x) == pytest.approx(0, abs=1e-9)
    assert distance(x, x + 3) == pytest.approx(90)


@pytest.mark.parametrize("n", [2, 9, 40])
def test_equal_samples_leave_the_distance_of_the_means(n: int) -> None:
    x, y = np.full((n, 9), 2.0), np.full((n + 1, 9), 4.0)
    score = frechet_distance(x, y, EXTRACTOR)
    assert score.value == 36
    assert distance(x, x) == 0
    spread = normal(1, n, 9)
    expected = ((spread.mean(0) - 2) ** 2).sum() + spread.var(axis=0, ddof=1).sum()
    assert distance(spread, x) == pytest.approx(expected)


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1.0, 1e12, 1e29])
def test_the_distance_is_a_finite_number_of_0_or_more(scale: float) -> None:
    x = normal(1, 8, 300) * scale
    for y in (x[::-1], x * (1 + 1e-9), np.repeat(x[:1], 8, axis=0)):
        score = frechet_distance(x, y, EXTRACTOR)
        assert 0 <= score.value < np.inf
        assert np.isnan(score.low) or 0 <= score.low <= score.value <= score.high < np.inf


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.int16])
def test_narrow_numbers_are_widened_first(kind: type[np.number[Any]]) -> None:
    x, y = (100 * normal(1, 30, 5)).astype(kind), (100 * normal(2, 30, 5)).astype(kind)
    assert distance(x, y) == distance(x.astype(np.float64), y.astype(np.float64))


@pytest.mark.parametrize(("n", "m", "d"), [(9, 30, 50), (90, 30, 50), (90, 80, 5)])
def test_nothing_larger_than_samples_or_dimensions_is_decomposed(
    n: int, m: int, d: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes, decompose = [], np.linalg.svd

    def svd(matrix: Array, **options: Any) -> Any:
        shapes.append(matrix.shape)
        return decompose(matrix, **options)

    monkeypatch.setattr(np.linalg, "svd", svd)
    distance(normal(1, n, d), normal(2, m, d))
    assert shapes == [(min(n, d), min(m, d))]


def test_the_interval_does_not_go_below_0() -> None:
    score = frechet_distance(normal(1, 100, 1), normal(2, 100, 1), EXTRACTOR)
    assert score.low == 0
    assert score.high - score.value > score.value > 0


@pytest.mark.parametrize(("n", "d", "factor"), [(60, 3, 1.5), (60, 3, 1.0), (20, 40, 1.3)])
def test_the_interval_holds_what_such_samples_score_on_average(
    n: int, d: int, factor: float
) -> None:
    scores = [
        frechet_distance(normal(seed, n, d), factor * normal(1000 + seed, n, d) + 0.3, EXTRACTOR)
        for seed in range(150)
    ]
    average = np.mean([score.value for score in scores])
    deviation = np.std([score.value for score in scores])
    assert np.mean([score.low <= average <= score.high for score in scores]) > 0.88
    assert np.mean([score.high - score.value for score in scores]) < 1.5 * 1.96 * deviation


def test_the_interval_is_that_of_leaving_out_each_sample() -> None:
    x, y = np.exp(normal(1, 150, 3) / 2) * [1, 2, 3], -np.exp(normal(2, 120, 3) / 2)
    without_x = np.array([distance(np.delete(x, i, axis=0), y) for i in range(len(x))])
    without_y = np.array([distance(x, np.delete(y, i, axis=0)) for i in range(len(y))])
    error = np.sqrt(149 * without_x.var() + 119 * without_y.var())
    score = frechet_distance(x, y, EXTRACTOR)
    assert score.high - score.value == pytest.approx(1.98 * error, rel=0.03)
    assert score.value - score.low == pytest.approx(1.98 * error, rel=0.03)


@pytest.mark.parametrize(
    ("n", "m", "d"), [(9, 30, 40), (30, 9, 40), (60, 50, 8), (9, 9, 1), (25, 40, 12)]
)
def test_any_set_of_features_is_as_far_as_it_is_alone(n: int, m: int, d: int) -> None:
    x, y = normal(1, n, d) @ normal(2, d, d) + 1, normal(3, m, d) + 5
    sets = np.random.default_rng(0).random((20, n)) < 0.6
    sets[0], sets[1] = True, np.arange(n) < 2
    found = distance_of_sets(x, y)(sets)
    assert found == pytest.approx([distance(x[is_in], y) for is_in in sets], rel=1e-7)


def test_sets_of_equal_features_are_as_far_as_their_means() -> None:
    x, y = np.full((6, 9), 2.0), np.full((7, 9), 4.0)
    both = np.array([[True] * 6, [True] * 3 + [False] * 3])
    assert distance_of_sets(x, y)(both) == pytest.approx([36, 36])
    assert distance_of_sets(x, x)(both).tolist() == [0, 0]


def test_a_signature_names_the_extractor_and_the_counts() -> None:
    score = frechet_distance(normal(1, 4, 3), normal(2, 5, 3), EXTRACTOR)
    assert score.signature == (
        f"FID(captioner@0123abcd)|n:4|m:5|d:3|ci:jackknife-t|numpy:{np.__version__}"
    )
    assert score.samples == 4
    assert not score.higher_is_better


def test_too_few_samples_warn() -> None:
    assert (reliable_from(2), reliable_from(2048)) == (100, 10_240)
    many, few = normal(1, 100, 2), normal(2, 99, 2)
    assert frechet_distance(many, many, EXTRACTOR).warning is None
    assert frechet_distance(few, many, EXTRACTOR).warning is not None
    doubtful = frechet_distance(many, few, EXTRACTOR)
    assert doubtful.warning is not None
    assert "100 samples against 99 in 2 dimensions; below 100" in doubtful.warning


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros((1, 3)), r"features has shape \(1, 3\); give at least 2 rows"),
        (np.zeros((0, 3)), r"features has shape \(0, 3\); give at least 2 rows"),
        (np.zeros((4, 0)), r"features has shape \(4, 0\); give at least 2 rows"),
        (np.zeros(3), r"features has shape \(3,\) and type float64; give .* \(N, d\)"),
        (np.zeros((4, 3), complex), "type complex128; give real numbers"),
        (np.zeros((4, 2)), "features have 2 dimensions and reference has 3"),
        (np.full((4, 3), np.nan), "features holds NaN, infinity or values beyond"),
        (np.full((4, 3), -np.inf), "features holds NaN, infinity or values beyond"),
        (np.full((4, 3), 1e31), "features holds NaN, infinity or values beyond"),
    ],
)
def test_what_cannot_be_measured_is_refused(features: Array, message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        distance(features, normal(1, 5, 3))


def test_the_reference_and_the_extractor_are_checked_too() -> None:
    with pytest.raises(InvalidValue, match=r"reference has shape \(1, 3\)"):
        distance(normal(1, 5, 3), np.zeros((1, 3)))
    with pytest.raises(InvalidValue, match="extractor is 'inception'"):
        frechet_distance(normal(1, 5, 3), normal(2, 5, 3), "inception")
