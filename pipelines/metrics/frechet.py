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
    shift = x.mean(axis=0) - y.mean(axis=0)
    a = (x - x.mean(axis=0)) / np.sqrt(n - 1)
    b = (y - y.mean(axis=0)) / np.sqrt(m - 1)
    shared, shared_by_a, shared_by_b = _trace_of_root(a, b)
    variances_a, variances_b = (a**2).sum(axis=1), (b**2).sum(axis=1)
    # Zero or more but for rounding.
    value = max(0.0, float(shift @ shift + variances_a.sum() + variances_b.sum() - 2 * shared))

    # What the distance changes by when a sample gains weight: the infinitesimal jackknife.
    influence_a = 2 * np.sqrt(n - 1) * (a @ shift) + n * (variances_a - shared_by_a)
    influence_b = -2 * np.sqrt(m - 1) * (b @ shift) + m * (variances_b - shared_by_b)
    low, high = interval.normal(
        value, float(influence_a.var(ddof=1) / n + influence_b.var(ddof=1) / m)
    )
    return Score(
        value,
        max(0.0, low),
        high,
        n,
        f"FID({extractor})|n:{n}|m:{m}|d:{dimensions}|ci:jackknife|numpy:{np.__version__}",
        higher_is_better=False,
        warning=_warning(n, m, dimensions),
    )


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
        "Fréchet distance tells more of the number of samples than of the model. Evaluate more, "
        "or compare kernel distances."
    )
