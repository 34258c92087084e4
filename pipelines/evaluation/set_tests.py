"""Paired tests of scores that are of a whole set of pictures or texts.

All are recomputed for each set, by ``paired.compared_sets``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pipelines.metrics.features import directions
from pipelines.metrics.frechet import distance_and_influences, distance_of_sets
from pipelines.metrics.paired import (
    Difference,
    ScoreOfSets,
    canonical_order,
    compared_sets,
)
from pipelines.metrics.retrieval import recall_of_sets

Array = npt.NDArray[np.float64]


def kernel_distance_test(ours: Array, theirs: Array, real: Array, seed: int) -> Difference:
    """Whether two painters of the same prompts differ in KID, as in ``metrics.kernel``.

    Args:
        ours, theirs: features of pictures of the same prompts, ``(n, d)``.
        real: ``(m, d)``.
    """
    order = canonical_order(ours, theirs)
    both = np.concatenate([ours[order], theirs[order]])
    kernel = _cubic(both, both)
    to_real = _cubic(both, real).mean(axis=1)
    within_real = _cubic(real, real)
    m = len(real)
    constant = float(within_real.sum() - np.trace(within_real)) / (m * (m - 1))

    def score(is_in: npt.NDArray[np.bool_]) -> Array:
        across = is_in @ to_real / is_in.sum(axis=-1)
        return np.asarray(_pair_mean(kernel, is_in) + constant - 2 * across)

    return compared_sets(len(ours), score, seed)


def mean_distance_test(ours: Array, theirs: Array, seed: int) -> Difference:
    """Whether two painters of the same prompts differ in ``variety.mean_cosine_distance``."""
    order = canonical_order(ours, theirs)
    rows = directions("features", np.concatenate([ours[order], theirs[order]]))
    distances = 1 - rows @ rows.T
    return compared_sets(len(ours), lambda is_in: _pair_mean(distances, is_in), seed)


def frechet_distance_test(ours: Array, theirs: Array, real: Array, seed: int) -> Difference:
    """Whether two painters of the same prompts differ in FID, as in ``metrics.frechet``.

    The real pictures are what both are measured by; the interval does not draw them again.

    Args:
        ours, theirs: features of pictures of the same prompts, ``(n, d)``.
        real: ``(m, d)``.
    """
    order = canonical_order(ours, theirs)
    ours, theirs = ours[order], theirs[order]
    influence = distance_and_influences(ours, real)[1] - distance_and_influences(theirs, real)[1]
    score = distance_of_sets(np.concatenate([ours, theirs]), real)
    return compared_sets(len(ours), score, seed, influence=influence)


def recall_test(
    ours: Array, theirs: Array, asked: Array, is_right: npt.NDArray[np.bool_], seed: int
) -> Difference:
    """Whether one of two systems makes more that is found again, as in ``retrieval.recall`` at 1.

    Args:
        ours, theirs: features of what was made of the same samples, ``(n, d)``.
        asked: of what finds them, of the same samples, ``(n, d)``.
        is_right: whether what was made of a sample answers for another, ``(n, n)``.
    """
    order = canonical_order(ours, theirs, asked)
    both = np.concatenate([ours[order], theirs[order]])
    score = recall_of_sets(asked[order], both, is_right[np.ix_(order, order)])
    found = compared_sets(len(order), score, seed)
    low, high = np.clip([found.low, found.high], -1, 1).tolist()  # of shares
    return replace(found, low=low, high=high)


def texts_test(
    ours: Sequence[str],
    theirs: Sequence[str],
    of_sets: Callable[[Sequence[str]], ScoreOfSets],
    seed: int,
) -> Difference:
    """Whether two writers of the same beginnings differ in a score of all their texts.

    Args:
        ours, theirs: texts of the same beginnings.
        of_sets: ``wording.distinct_of_sets`` or ``wording.self_bleu_of_sets``.
    """
    pairs = sorted(zip(ours, theirs, strict=True))
    score = of_sets([text for system in zip(*pairs, strict=True) for text in system])
    return compared_sets(len(pairs), score, seed)


def _cubic(x: Array, y: Array) -> Array:
    return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)


def _pair_mean(values: Array, is_in: npt.NDArray[np.bool_]) -> Array:
    """The mean over pairs of different pictures of each set, ``(sets, pictures)``."""
    sets = is_in.astype(np.float64)
    count = sets.sum(axis=-1)
    total = ((sets @ values) * sets).sum(axis=-1) - sets @ values.diagonal()
    return np.asarray(total / (count * (count - 1)))
