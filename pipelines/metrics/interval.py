"""95% intervals: by resampling where a score is made of sums, else from a standard error."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

RESAMPLES = 1000
NORMAL_QUANTILE = 1.959964
"""97.5% of a standard normal distribution lie below it."""


def bootstrap(statistics: Array, score: Callable[[Array], float], seed: int) -> tuple[float, float]:
    """Percentile interval of a score of summed statistics (Efron, 1979; Koehn, 2004, for BLEU).

    The order of the samples does not matter: they are sorted before they are drawn from.

    Args:
        statistics: one row a sample, ``(n, k)``.
        score: of the sums over a resample, ``(k,)``.
    """
    count = len(statistics)
    rows = statistics[np.lexsort(statistics.T)]
    rng = np.random.default_rng(seed)
    scores = []
    for _ in range(RESAMPLES):
        times_drawn = np.bincount(rng.integers(count, size=count), minlength=count)
        scores.append(score(times_drawn @ rows))
    low, high = np.quantile(scores, (0.025, 0.975))
    return float(low), float(high)


def named(seed: int) -> str:
    """``bootstrap`` with this seed, as signatures name it."""
    return f"bootstrap-{RESAMPLES}|seed:{seed}"


def mean(values: Array, seed: int) -> tuple[float, float, float]:
    """The mean of ``(n,)`` values, and the percentile interval of such means."""
    rows = np.column_stack([values, np.ones(len(values))])
    return math.fsum(values) / len(values), *bootstrap(rows, lambda s: float(ratio(s)), seed)


def ratio(sums: Array) -> Array:
    """The first of two sums over the second: of values and their number, of hits and
    samples, of bits and bytes. ``(..., 2)`` to ``(...)``."""
    return np.asarray(sums[..., 0] / sums[..., 1])


def normal(value: float, variance: float) -> tuple[float, float]:
    """Interval of an estimate whose sampling variance is known."""
    reach = NORMAL_QUANTILE * variance**0.5
    return value - reach, value + reach
