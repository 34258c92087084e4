"""Whether two systems differ on the same samples, or only by chance.

Two tests of one difference: the paired bootstrap (Koehn, 2004, EMNLP) and approximate
randomisation (Riezler and Maxwell, 2005; Noreen, 1989). The second decides, for its p-values
hold exactly under the hypothesis that the systems can be exchanged. ``compared`` takes sums of
statistics of each sample, so that BLEU, CIDEr, exact match and bits per byte all fit;
``compared_sets`` takes scores that only a whole set has, such as FID.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pipelines.errors import InvalidValue, abbreviated
from pipelines.metrics import interval
from pipelines.validation import MAX_SEED, whole_number

LEVEL = 0.05
RESAMPLES = 10_000
SET_RESAMPLES = 1_500
"""Of scores that are computed anew for each. So many that a difference can be shown after the
correction for seven models in ten metrics, the most of one evaluation."""
_DRAWS_AT_ONCE = 2**20
"""Samples drawn in one go; bounds the memory to some tens of megabytes."""
_SETS_AT_ONCE = 32

Array = npt.NDArray[np.float64]
Key = TypeVar("Key")
ScoreOfSums = Callable[[Array], Array]
"""From sums of statistics, ``(..., k)``, to scores, ``(...)``: ``interval.ratio``,
``bleu.bleu_of_sums``, ``chrf.chrf_of_sums``."""
ScoreOfSets = Callable[[npt.NDArray[np.bool_]], Array]
"""From which outputs are in a set, ``(times, outputs)``, to the scores of these sets,
``(times,)``: ``frechet.distance_of_sets``, ``wording.self_bleu_of_sets``."""


@dataclass(frozen=True)
class Difference:
    """One score of two systems on the same samples.

    ``difference`` is the first's score less the second's; ``low`` and ``high`` bound the
    central 95% of what other samples of the same number would show. The p-values are
    two-sided. ``corrected_p`` is randomisation's after Holm's correction, the same number
    for one comparison alone.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    bootstrap_p: float
    randomisation_p: float
    corrected_p: float
    samples: int
    signature: str

    @property
    def is_shown(self) -> bool:
        return self.corrected_p < LEVEL


def compared(
    first: npt.NDArray[Any],
    second: npt.NDArray[Any],
    score: ScoreOfSums,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Difference:
    """Tests the difference of two systems' scores; the order of samples does not matter.

    Args:
        first: one row of statistics a sample, ``(n, k)``; see ``of_values`` for a score
            that is a mean.
        second: the other system's, of the same samples in the same order.
        score: of sums of statistics.
        seed: of both tests, from 0 to 2^63 - 1.
        resamples: of each, from 100.

    Raises:
        InvalidValue: other forms, fewer than 2 samples, numbers or scores that are not finite.
    """
    seed, resamples = _checked_draws(seed, resamples)
    ours, theirs = _checked(first, second)
    rows = np.concatenate([ours, theirs], axis=1)
    rows = rows[canonical_order(rows)]
    values = _finite(score(rows.sum(axis=0).reshape(2, -1)))
    drawn = _bootstrap(rows, score, np.random.default_rng((seed, 0)), resamples)
    swapped = _randomised(rows, score, np.random.default_rng((seed, 1)), resamples)
    return _concluded(values, drawn, swapped, len(rows), f"bootstrap-{resamples}", seed)


def compared_sets(
    samples: int,
    score: ScoreOfSets,
    seed: int = 0,
    resamples: int = SET_RESAMPLES,
    influence: Array | None = None,
) -> Difference:
    """Tests the difference of a score of whole sets, both recomputed after every exchange.

    A bootstrap would put an output into a set twice, and score what no system makes: features
    of less rank, texts that repeat each other. So the interval draws, with replacement, how much
    each sample moves the difference, its jackknife (Efron and Tibshirani, 1993, chapter 11).

    Args:
        samples: n, at least 2.
        score: of outputs of which the first n are one system's and the next n the other's, of
            the same samples; in ``canonical_order``, lest that in which they came matters.
        seed: of both tests, from 0 to 2^63 - 1.
        resamples: of each, from 100.
        influence: ``(n,)``, how fast the difference grows with a sample's weight; None: from
            leaving out each sample.

    Raises:
        InvalidValue: fewer samples, or scores that are not finite.
    """
    seed, resamples = _checked_draws(seed, resamples)
    samples = whole_number("samples", samples, 2, 10**6)
    is_ours = np.arange(2 * samples) < samples
    values = _finite(score(np.stack([is_ours, ~is_ours])))
    if influence is None:
        influence = _jackknife(score, samples)
    moved = values[0] - values[1] + influence - influence.mean()
    rows = np.concatenate([of_values(moved), of_values(np.zeros(samples))], axis=1)
    drawn = _bootstrap(rows, interval.ratio, np.random.default_rng((seed, 0)), resamples)
    swapped = _exchanged(score, samples, np.random.default_rng((seed, 1)), resamples)
    drawing = f"bootstrap-{resamples}-of-jackknife"
    return _concluded(values, drawn, swapped, samples, drawing, seed)


def canonical_order(*rows: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The places of samples, ``(n,)``, in an order that only their rows ``(n, k)`` decide."""
    return np.asarray(np.lexsort(np.concatenate(rows, axis=1).T))


def of_values(values: npt.NDArray[Any] | Sequence[float]) -> Array:
    """Statistics whose ``interval.ratio`` is the mean of these values: ``(n, 2)``."""
    column = np.asarray(values, np.float64)
    return np.column_stack([column, np.ones(len(column))])


def corrected(differences: Mapping[Key, Difference]) -> dict[Key, Difference]:
    """The same comparisons, each with its p-value corrected for their number."""
    adjusted = holm([each.randomisation_p for each in differences.values()])
    return {
        key: replace(each, corrected_p=p)
        for (key, each), p in zip(differences.items(), adjusted, strict=True)
    }


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm, 1979): the chance of even one false claim
    among those below a level stays below that level. The order is kept.

    Raises:
        InvalidValue: a p-value that is not within 0 and 1.
    """
    for p in p_values:
        if not 0 <= p <= 1:  # true for NaN, too
            raise InvalidValue(f"a p-value is {abbreviated(p)}; give numbers from 0 to 1.")
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def _bootstrap(rows: Array, score: ScoreOfSums, rng: np.random.Generator, resamples: int) -> Array:
    """Differences of the scores of samples drawn with replacement, both systems' together."""
    n = len(rows)

    def weights(times: int) -> npt.NDArray[Any]:
        drawn = rng.integers(n, size=(times, n), dtype=np.int32)
        drawn += np.arange(times, dtype=np.int32)[:, None] * n
        return np.bincount(drawn.ravel(), minlength=times * n).reshape(times, n)

    half = rows.shape[1] // 2
    parts = []
    for times in _chunks(resamples, _DRAWS_AT_ONCE // n):
        sums = weights(times).astype(np.float64) @ rows
        parts.append(score(sums[:, :half]) - score(sums[:, half:]))
    return np.concatenate(parts)


def _randomised(rows: Array, score: ScoreOfSums, rng: np.random.Generator, resamples: int) -> Array:
    """Differences of the scores after each sample's systems are exchanged or not, by a coin."""
    n, half = len(rows), rows.shape[1] // 2
    total = rows.sum(axis=0)
    change = rows[:, half:] - rows[:, :half]
    parts = []
    for times in _chunks(resamples, _DRAWS_AT_ONCE // n):
        moved = _coins(rng, times, n).astype(np.float64) @ change
        parts.append(score(total[:half] + moved) - score(total[half:] - moved))
    return np.concatenate(parts)


def _exchanged(score: ScoreOfSets, samples: int, rng: np.random.Generator, resamples: int) -> Array:
    """``_randomised`` of scores of whole sets."""
    parts = []
    for times in _chunks(resamples, _SETS_AT_ONCE):
        is_turned = _coins(rng, times, samples).astype(np.bool_)
        is_first = np.concatenate([~is_turned, is_turned], axis=1)
        parts.append(score(is_first) - score(~is_first))
    return np.concatenate(parts)


def _jackknife(score: ScoreOfSets, samples: int) -> Array:
    """How fast the difference grows with each sample's weight, from leaving it out."""
    parts, everything_but_one = [], ~np.eye(samples, dtype=np.bool_)
    for start in range(0, samples, _SETS_AT_ONCE):
        is_kept = everything_but_one[start : start + _SETS_AT_ONCE]
        none = np.zeros_like(is_kept)
        first, second = np.hstack([is_kept, none]), np.hstack([none, is_kept])
        parts.append(score(first) - score(second))
    return -(samples - 1) * np.concatenate(parts)


def _coins(rng: np.random.Generator, times: int, n: int) -> npt.NDArray[np.uint8]:
    packed = np.frombuffer(rng.bytes(times * (-(-n // 8))), np.uint8)
    return np.unpackbits(packed.reshape(times, -1), axis=1, count=n)


def _concluded(
    values: Array, drawn: Array, swapped: Array, samples: int, drawing: str, seed: int
) -> Difference:
    """What differences of drawn samples and of exchanged systems say of that of two scores."""
    found, resamples = float(values[0] - values[1]), len(swapped)
    low, high = np.quantile(drawn, (0.025, 0.975))
    tolerance = 1e-9 * max(1.0, float(np.abs(values).max()))  # equal but for rounding
    extreme = int((np.abs(swapped) >= abs(found) - tolerance).sum())
    side = min((drawn <= tolerance).sum(), (drawn >= -tolerance).sum())
    p = (extreme + 1) / (resamples + 1)
    return Difference(
        first=float(values[0]),
        second=float(values[1]),
        difference=found,
        low=float(low),
        high=float(high),
        bootstrap_p=min(1.0, 2 * (int(side) + 1) / (len(drawn) + 1)),
        randomisation_p=p,
        corrected_p=p,
        samples=samples,
        signature=f"paired|{drawing}|randomisation-{resamples}|seed:{seed}|numpy:{np.__version__}",
    )


def _chunks(resamples: int, at_once: int) -> list[int]:
    size = max(1, at_once)
    return [min(size, resamples - start) for start in range(0, resamples, size)]


def _checked_draws(seed: int, resamples: int) -> tuple[int, int]:
    return (
        whole_number("seed", seed, 0, MAX_SEED),
        whole_number("resamples", resamples, 100, 10**6),
    )


def _finite(values: Array) -> Array:
    if np.shape(values) != (2,) or not np.isfinite(values).all():
        raise InvalidValue(
            f"the systems score {abbreviated(np.asarray(values).tolist())}; only finite scores can "
            "be compared."
        )
    return np.asarray(values, np.float64)


def _checked(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> tuple[Array, Array]:
    for name, values in (("first", first), ("second", second)):
        if (
            not isinstance(values, np.ndarray)
            or values.ndim != 2
            or values.dtype.kind not in "biuf"
        ):
            raise InvalidValue(
                f"{name} is {abbreviated(values)}; give an array with one row of numbers a sample."
            )
        if not np.isfinite(values).all():
            raise InvalidValue(f"{name} holds NaN or infinity; give finite statistics.")
    if first.shape != second.shape or len(first) < 2 or first.shape[1] < 1:
        raise InvalidValue(
            f"first has shape {first.shape} and second {second.shape}; give the same statistics of "
            "the same samples, at least 2."
        )
    return first.astype(np.float64), second.astype(np.float64)
