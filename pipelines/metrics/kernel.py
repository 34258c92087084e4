"""Kernel distance between two sets of features (KID, Bińkowski et al., 2018, arXiv:1801.01401).

Computed over all pairs, not over random subsets, so the same features always have the same
score. Unlike the Fréchet distance it is unbiased at any number of samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.metrics import interval
from pipelines.metrics.features import feature_pair
from pipelines.metrics.score import Score, name_and_hash

BLOCK_ROWS = 256
"""Rows of the kernel matrix that are in memory at a time."""

LEAST_RELIABLE = 20
"""In each set; the jackknife's intervals hold what they promise from about here."""

Array = npt.NDArray[np.float64]


def kernel_distance(
    features: npt.NDArray[Any], reference: npt.NDArray[Any], extractor: str
) -> Score:
    """Unbiased squared maximum mean discrepancy with the kernel ``(x·y/d + 1)³``.

    0 is expected where both come from one distribution; the estimate may be negative.
    The interval is a jackknife over both sets: every sample is left out once, exactly;
    of 2 samples none can be left out, and their own distance counts as known.

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
    among_x = _kernel_sums(x, x)[0] - _cubed((x * x).sum(axis=1) / dimensions + 1)
    among_y = _kernel_sums(y, y)[0] - _cubed((y * y).sum(axis=1) / dimensions + 1)
    from_x, from_y = _kernel_sums(x, y)

    within_x, within_y = _pair_mean(among_x), _pair_mean(among_y)
    across = float(from_x.mean()) / m
    value = within_x + within_y - 2 * across
    without_x = _pair_means_without(among_x) - 2 * _means_without(from_x) / m
    without_y = _pair_means_without(among_y) - 2 * _means_without(from_y) / n
    variance = (n - 1) * without_x.var() + (m - 1) * without_y.var()
    low, high = interval.student(value, float(variance), min(n, m))
    return Score(
        value,
        low,
        high,
        n,
        f"KID({extractor})|n:{n}|m:{m}|d:{dimensions}|ci:jackknife-t|numpy:{np.__version__}",
        higher_is_better=False,
        warning=_warning(n, m),
    )


def _kernel_sums(x: Array, y: Array) -> tuple[Array, Array]:
    """The rows' sums and the columns' of the kernel matrix: ``(n,)`` and ``(m,)``."""
    rows, columns = np.empty(len(x)), np.zeros(len(y))
    for start in range(0, len(x), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        values = _cubed(x[block] @ y.T / x.shape[1] + 1)
        rows[block] = values.sum(axis=1)
        columns += values.sum(axis=0)
    return rows, columns


def _cubed(values: Array) -> Array:
    return values * values * values  # many times faster than ** 3


def _pair_mean(sums: Array) -> float:
    """The mean over pairs of different samples, from each one's sum over the others."""
    return float(sums.sum() / (len(sums) * (len(sums) - 1)))


def _pair_means_without(sums: Array) -> Array:
    """The same with each sample left out in turn; it leaves its row and its column."""
    if len(sums) == 2:
        return np.zeros(2)
    return np.asarray((sums.sum() - 2 * sums) / ((len(sums) - 1) * (len(sums) - 2)))


def _means_without(sums: Array) -> Array:
    return np.asarray((sums.sum() - sums) / (len(sums) - 1))


def _warning(n: int, m: int) -> str | None:
    if min(n, m) >= LEAST_RELIABLE:
        return None
    return (
        f"{n:,} samples against {m:,}; below {LEAST_RELIABLE} of each the interval of a kernel "
        "distance is a guess. Evaluate more."
    )
