"""Fréchet distance between two sets of features (FID, Heusel et al., 2017, arXiv:1706.08500).

The square root of the product of the covariances is never formed. With ``S = AᵀA`` and
``T = BᵀB``, the trace of ``(ST)^½`` is the sum of the singular values of ``ABᵀ``: real,
not negative, and as small as the number of samples where that is below the dimensions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.metrics import interval
from pipelines.metrics.features import feature_pair
from pipelines.metrics.paired import ScoreOfSets
from pipelines.metrics.score import Score, name_and_hash

SAMPLES_PER_DIMENSION = 5
"""Heusel et al. advise 10,000 for Inception's 2,048 (github.com/bioinf-jku/TTUR)."""

LEAST_RELIABLE = 100

Array = npt.NDArray[np.float64]


def reliable_from(dimensions: int) -> int:
    """The number of samples in each set below which a distance carries a warning.

    Two samples of n from one Gaussian in d dimensions score about d/(2n) of the trace of
    its covariance, a tenth of it at five samples a dimension, where the truth is 0.
    """
    return max(LEAST_RELIABLE, SAMPLES_PER_DIMENSION * dimensions)


def frechet_distance(
    features: npt.NDArray[Any], reference: npt.NDArray[Any], extractor: str
) -> Score:
    """``|μ₁ - μ₂|² + tr(S + T - 2(ST)^½)`` of means and covariances; 0 at best.

    The interval is that of samples of this size, whose common bias it does not show.

    Args:
        features: of the evaluated pictures, ``(n, d)``, n at least 2.
        reference: of real ones, ``(m, d)``, m at least 2.
        extractor: its name and the hash of its weights, ``name@hash``.

    Raises:
        InvalidValue: fewer rows, other forms, numbers that are not finite, or a name
            without a hash.
    """
    extractor = name_and_hash("extractor", extractor)
    x, y = feature_pair(features, reference, least=2)
    (n, dimensions), m = x.shape, len(y)
    value, of_x, of_y = distance_and_influences(x, y)
    variance = float(of_x.var(ddof=1) / n + of_y.var(ddof=1) / m)
    low, high = interval.student(value, variance, min(n, m), least=0.0)
    return Score(
        value,
        low,
        high,
        n,
        f"FID({extractor})|n:{n}|m:{m}|d:{dimensions}|ci:jackknife-t|numpy:{np.__version__}",
        higher_is_better=False,
        warning=_warning(n, m, dimensions),
    )


def distance_and_influences(features: Array, reference: Array) -> tuple[float, Array, Array]:
    """The distance, and how fast it grows with the weight of each sample: ``(n,)``, ``(m,)``.

    That is the infinitesimal jackknife (Jaeckel, 1972): an influence's variance over its
    number of samples is the distance's.

    Args:
        features, reference: as ``feature_pair`` gives them, at least 2 rows each.
    """
    n, m = len(features), len(reference)
    shift = features.mean(axis=0) - reference.mean(axis=0)
    a = (features - features.mean(axis=0)) / np.sqrt(n - 1)
    b = (reference - reference.mean(axis=0)) / np.sqrt(m - 1)
    shared, shared_by_a, shared_by_b = _trace_of_root(a, b)
    variances_a, variances_b = (a**2).sum(axis=1), (b**2).sum(axis=1)
    # Zero or more but for rounding.
    value = max(0.0, float(shift @ shift + variances_a.sum() + variances_b.sum() - 2 * shared))
    influence_a = 2 * np.sqrt(n - 1) * (a @ shift) + n * (variances_a - shared_by_a)
    influence_b = -2 * np.sqrt(m - 1) * (b @ shift) + m * (variances_b - shared_by_b)
    return value, influence_a, influence_b


def distance_of_sets(features: Array, reference: Array) -> ScoreOfSets:
    """The distance of any set of these features, for ``paired.compared_sets``.

    What all sets share is computed once: with ``T = FᵀF`` of the reference, the trace of
    ``(ST)^½`` is the sum of the roots of the eigenvalues of the covariance of ``XFᵀ``, or of
    its Gram matrix where that is smaller.

    Args:
        features: ``(outputs, d)``; a set needs 2 of them.
        reference: ``(m, d)``, m at least 2.
    """
    centre = reference.mean(axis=0)
    shifted = features - centre
    b = (reference - centre) / np.sqrt(len(reference) - 1)
    turned = shifted @ _factored(b)[1].T
    gram = turned @ turned.T
    squares, variance = (shifted**2).sum(axis=1), float((b**2).sum())

    def distance(is_in: npt.NDArray[np.bool_]) -> float:
        (places,) = is_in.nonzero()
        n = len(places)
        shift = shifted[places].mean(axis=0)
        if n < turned.shape[1]:
            inner = gram[np.ix_(places, places)]
            inner = inner - inner.mean(axis=0)
            inner -= inner.mean(axis=1, keepdims=True)
        else:
            rows = turned[places]
            rows -= rows.mean(axis=0)
            inner = rows.T @ rows
        shared = _sum_of_roots(inner / (n - 1))
        own = (squares[places].sum() - n * (shift @ shift)) / (n - 1)
        return max(0.0, float(shift @ shift + own + variance - 2 * shared))

    return lambda sets: np.array([distance(is_in) for is_in in sets])


def _sum_of_roots(matrix: Array) -> float:
    """Of the eigenvalues that are not rounding, whose roots would be 1e8 times it."""
    values = np.linalg.eigvalsh(matrix)
    kept = values > len(values) * np.finfo(np.float64).eps * values[-1]
    return float(np.sqrt(values[kept]).sum())


def _trace_of_root(a: Array, b: Array) -> tuple[float, Array, Array]:
    """Trace of ``(AᵀA BᵀB)^½``, and each row's part in it, ``(n,)`` and ``(m,)``.

    The parts are the diagonals of ``(MMᵀ)^½`` and ``(MᵀM)^½`` with ``M = ABᵀ``, so each
    sums to the trace; half of one is its derivative by that row's weight.
    """
    basis_a, factor_a = _factored(a)
    basis_b, factor_b = _factored(b)
    left, values, right = np.linalg.svd(factor_a @ factor_b.T, full_matrices=False)
    if basis_a is not None:
        left = basis_a @ left
    right = right.T if basis_b is None else basis_b @ right.T
    return float(values.sum()), left**2 @ values, right**2 @ values


def _factored(rows: Array) -> tuple[Array | None, Array]:
    """``rows`` as an orthonormal basis (none: the identity) times at most d rows."""
    if len(rows) <= rows.shape[1]:
        return None, rows
    basis, factor = np.linalg.qr(rows)
    return basis, factor


def _warning(n: int, m: int, dimensions: int) -> str | None:
    least = reliable_from(dimensions)
    if min(n, m) >= least:
        return None
    return (
        f"{n:,} samples against {m:,} in {dimensions:,} dimensions; below {least:,} of each a "
        "Fréchet distance says more about the number of samples than about the model. Evaluate "
        "more, or compare kernel distances."
    )
