"""Paired tests of scores that are of a whole set of pictures.

``paired`` adds up one row a sample. With a row that is 1 at the sample's own place, the sums
are how often each picture is in the set, and KID and mean distance are quadratic in them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipelines.metrics.features import directions
from pipelines.metrics.paired import Difference, compared

Array = npt.NDArray[np.float64]


def kernel_distance_test(ours: Array, theirs: Array, real: Array, seed: int) -> Difference:
    """Whether two painters of the same prompts differ in KID, as in ``metrics.kernel``.

    Args:
        ours, theirs: features of pictures of the same prompts, ``(n, d)``.
        real: ``(m, d)``.
    """
    both = np.concatenate([ours, theirs])
    kernel = _cubic(both, both)
    to_real = _cubic(both, real).mean(axis=1)
    within_real = _cubic(real, real)
    m = len(real)
    constant = float(within_real.sum() - np.trace(within_real)) / (m * (m - 1))

    def score(counts: Array) -> Array:
        across = counts @ to_real / counts.sum(axis=-1)
        return np.asarray(_pair_mean(kernel, counts) + constant - 2 * across)

    return compared(*_places(len(ours)), score, seed)


def mean_distance_test(ours: Array, theirs: Array, seed: int) -> Difference:
    """Whether two painters of the same prompts differ in ``variety.mean_cosine_distance``."""
    rows = directions("features", np.concatenate([ours, theirs]))
    distances = 1 - rows @ rows.T
    return compared(*_places(len(ours)), lambda counts: _pair_mean(distances, counts), seed)


def _cubic(x: Array, y: Array) -> Array:
    return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)


def _pair_mean(values: Array, counts: Array) -> Array:
    """The mean over pairs of different pictures; one that was drawn twice is no pair, and one
    that was drawn alone has a mean of 0."""
    squares = counts**2
    pairs = counts.sum(axis=-1) ** 2 - squares.sum(axis=-1)
    total = ((counts @ values) * counts).sum(axis=-1) - squares @ values.diagonal()
    return np.asarray(np.where(pairs > 0, total / np.maximum(1, pairs), 0.0))


def _places(count: int) -> tuple[Array, Array]:
    """Each picture's place among those of both painters, ``(n, 2n)`` twice."""
    own = np.eye(2 * count)
    return own[:count], own[count:]
