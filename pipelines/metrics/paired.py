"""Whether two systems differ on the same samples, or only by chance.

Two tests of one difference, and both have to show it. Approximate randomisation (Riezler and
Maxwell, 2005; Noreen, 1989) is exact where the systems can be exchanged, but showed 7 to 9% of
differences that were none where their spreads differ. The studentised bootstrap of ``interval``
allows for that, but not for the fewest samples. Together they show 3 to 6% at a level of 5%
(``tests/benchmarks/coverage.py``).

``compared`` takes sums of statistics of each sample, so that BLEU, CIDEr, exact match and bits per
byte all fit; ``compared_sets`` takes scores that only a whole set has, such as FID.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pipelines.errors import InvalidValue, abbreviated
from pipelines.metrics import interval
from pipelines.metrics.interval import FEWEST, ScoreOfSums, chunks
from pipelines.validation import MAX_SEED, whole_number

LEVEL = 0.05
POWER = 0.8
"""How likely a difference of the stated size is to be shown."""
MOST_NEEDED = 1_000_000
"""Samples; a difference that needs more is as good as none."""
RESAMPLES = 10_000
SET_RESAMPLES = 1_500
"""Of scores that are computed anew for each. So many that a difference can be shown after the
correction for seven models in ten metrics, the most of one evaluation."""
_POWERED = NormalDist().inv_cdf(POWER)
"""So many standard errors beyond what shows a difference it is shown with power ``POWER``."""
_DRAWS_AT_ONCE = 2**20
"""Samples drawn in one go; bounds the memory to some tens of megabytes."""
_SETS_AT_ONCE = 32

Array = npt.NDArray[np.float64]
Key = TypeVar("Key")
ScoreOfSets = Callable[[npt.NDArray[np.bool_]], Array]
"""From which outputs are in a set, ``(times, outputs)``, to the scores of these sets,
``(times,)``: ``frechet.distance_of_sets``, ``wording.self_bleu_of_sets``."""


@dataclass(frozen=True)
class Difference:
    """One score of two systems on the same samples.

    ``difference`` is the first's score less the second's; ``low`` and ``high`` bound the
    central 95% of what other samples of the same number would show, NaN where all samples differ
    alike. The p-values are two-sided; ``bootstrap_p`` is below 0.05 where the interval leaves 0
    out. ``corrected_p`` is the larger of both after Holm's correction, the same number for one
    comparison alone.

    ``effect`` is the difference over the standard deviation of the samples' differences (Cohen's
    d of pairs). With power ``POWER``, so many samples would show a difference ``detectable`` or
    larger, and ``needed`` samples one as large as this, corrected as this one is; None where
    samples do not vary, or where it is above ``MOST_NEEDED``.
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
    effect: float | None = None
    detectable: float | None = None
    needed: int | None = None

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
        InvalidValue: other forms, numbers or scores that are not finite, or fewer samples than
            ``interval.FEWEST``; then it says how many a difference such as this would need.
    """
    seed, resamples = _checked_draws(seed, resamples)
    ours, theirs = _checked(first, second)
    rows = np.concatenate([ours, theirs], axis=1)
    rows = rows[canonical_order(rows)]
    half = rows.shape[1] // 2

    def differing(sums: Array) -> Array:
        return np.asarray(score(sums[..., :half]) - score(sums[..., half:]))

    values = _finite(score(rows.sum(axis=0).reshape(2, -1)))
    moved = interval.influences(rows, differing)
    _check_size(float(values[0] - values[1]), moved)
    error, rng = interval.standard_error(moved), np.random.default_rng((seed, 0))
    drawn = interval.studentised(rows, differing, error, rng, resamples)
    swapped = _randomised(rows, score, np.random.default_rng((seed, 1)), resamples)
    concluded = _concluded(values, moved, drawn, swapped, seed)
    if not np.isin(rows, (0, 1)).all():
        return concluded
    low, high = _of_hits(rows[:, 0] - rows[:, half])
    return replace(concluded, low=low, high=high)


def compared_sets(
    samples: int,
    score: ScoreOfSets,
    seed: int = 0,
    resamples: int = SET_RESAMPLES,
    influence: Array | None = None,
) -> Difference:
    """Tests the difference of a score of whole sets, both recomputed after every exchange.

    A bootstrap of outputs would put one into a set twice, and score what no system makes: features
    of less rank, texts that repeat each other. The interval draws their influences instead.

    Args:
        samples: n, at least ``interval.FEWEST``.
        score: of outputs of which the first n are one system's and the next n the other's, of
            the same samples; in ``canonical_order``, lest that in which they came matters.
        seed: of both tests, from 0 to 2^63 - 1.
        resamples: of randomisation, from 100.
        influence: ``(n,)``, how fast the difference grows with a sample's weight; None: from
            leaving out each sample.

    Raises:
        InvalidValue: fewer samples, or scores that are not finite.
    """
    seed, resamples = _checked_draws(seed, resamples)
    samples = whole_number("samples", samples, 2, 10**6)
    is_ours = np.arange(2 * samples) < samples
    values = _finite(score(np.stack([is_ours, ~is_ours])))
    moved = _jackknife(score, samples) if influence is None else influence
    _check_size(float(values[0] - values[1]), moved)
    error, rng = interval.standard_error(moved), np.random.default_rng((seed, 0))
    drawn = interval.studentised(of_values(moved), interval.ratio, error, rng, RESAMPLES)
    swapped = _exchanged(score, samples, np.random.default_rng((seed, 1)), resamples)
    return _concluded(values, moved, drawn, swapped, seed)


def canonical_order(*rows: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The places of samples, ``(n,)``, in an order that only their rows ``(n, k)`` decide."""
    return np.asarray(np.lexsort(np.concatenate(rows, axis=1).T))


def of_values(values: npt.NDArray[Any] | Sequence[float]) -> Array:
    """Statistics whose ``interval.ratio`` is the mean of these values: ``(n, 2)``."""
    column = np.asarray(values, np.float64)
    return np.column_stack([column, np.ones(len(column))])


def corrected(differences: Mapping[Key, Difference]) -> dict[Key, Difference]:
    """The same comparisons, each with its p-value corrected for their number, and the samples that
    it would need at the level that this leaves to it."""
    p_values = {key: max(d.randomisation_p, d.bootstrap_p) for key, d in differences.items()}
    adjusted = holm([*p_values.values()])
    order = sorted(p_values, key=lambda key: p_values[key])
    level = {key: LEVEL / (len(order) - rank) for rank, key in enumerate(order)}
    return {
        key: replace(_at_level(each, level[key]), corrected_p=p)
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


def _randomised(rows: Array, score: ScoreOfSums, rng: np.random.Generator, resamples: int) -> Array:
    """Differences of the scores after each sample's systems are exchanged or not, by a coin."""
    n, half = len(rows), rows.shape[1] // 2
    total = rows.sum(axis=0)
    change = rows[:, half:] - rows[:, :half]
    parts = []
    for times in chunks(resamples, _DRAWS_AT_ONCE // n):
        moved = _coins(rng, times, n).astype(np.float64) @ change
        parts.append(score(total[:half] + moved) - score(total[half:] - moved))
    return np.concatenate(parts)


def _exchanged(score: ScoreOfSets, samples: int, rng: np.random.Generator, resamples: int) -> Array:
    """``_randomised`` of scores of whole sets."""
    parts = []
    for times in chunks(resamples, _SETS_AT_ONCE):
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


def _check_size(found: float, moved: Array) -> None:
    """Refuses so few samples that neither an interval nor a p-value says anything."""
    if len(moved) >= FEWEST:
        return
    needed = samples_needed(found, interval.standard_error(moved) * math.sqrt(len(moved)))
    raise InvalidValue(
        f"n = {len(moved)} is too small to show anything; "
        + (f"at least {FEWEST} are needed" if needed is None else f"about {needed:,} would be "
           "needed for a difference such as this")
    )  # fmt: skip


def samples_needed(found: float, spread: float, level: float = LEVEL) -> int | None:
    """About how many samples of this spread show such a difference with power ``POWER``.

    The normal approximation with Guenther's correction (1981, The American Statistician 35:243);
    and so many that an exchange of all can have a p-value below the level.

    Args:
        spread: the standard deviation of the samples' differences.

    Returns:
        None where the samples do not vary, or for more than ``MOST_NEEDED``.
    """
    quantile = NormalDist().inv_cdf(1 - level / 2)
    reach = quantile + _POWERED
    if spread == 0 or abs(found) * math.sqrt(MOST_NEEDED) <= reach * spread:
        return None
    fewest = max(FEWEST, math.ceil(1 - math.log2(level)))
    return max(fewest, math.ceil((reach * spread / found) ** 2 + quantile**2 / 2))


def _detectable(error: float, samples: int, level: float = LEVEL) -> float:
    """The smallest difference that so many samples show with power ``POWER``."""
    return error * (interval.student_quantile(1 - level / 2, samples - 1) + _POWERED)


def _at_level(found: Difference, level: float) -> Difference:
    """The same difference with the numbers of a test at another level than ``LEVEL``."""
    if found.detectable is None:
        return found
    error = found.detectable / _detectable(1.0, found.samples)
    spread = error * math.sqrt(found.samples)
    return replace(
        found,
        detectable=_detectable(error, found.samples, level),
        needed=samples_needed(found.difference, spread, level),
    )


def _concluded(values: Array, moved: Array, drawn: Array, swapped: Array, seed: int) -> Difference:
    """What the influences on a difference, its studentised resamples, and the differences of
    exchanged systems say of it."""
    found, n = float(values[0] - values[1]), len(moved)
    error = interval.standard_error(moved)
    tolerance = 1e-9 * max(1.0, float(np.abs(values).max()))  # equal but for rounding
    extreme = int((np.abs(swapped) >= abs(found) - tolerance).sum())
    place = found / error if error > 0 else math.copysign(math.inf, found)
    if abs(found) <= tolerance:
        place = 0.0
    side = min(int((drawn >= place - 1e-9).sum()), int((drawn <= place + 1e-9).sum()))
    by_exchange = (extreme + 1) / (len(swapped) + 1)
    by_draw = min(1.0, 2 * (side + 1) / (len(drawn) + 1))
    low, high = interval.between(found, error, drawn)
    return Difference(
        first=float(values[0]),
        second=float(values[1]),
        difference=found,
        low=low,
        high=high,
        bootstrap_p=by_draw,
        randomisation_p=by_exchange,
        corrected_p=max(by_exchange, by_draw),
        samples=n,
        signature=(
            f"paired|bootstrap-t-{len(drawn)}|randomisation-{len(swapped)}|seed:{seed}"
            f"|numpy:{np.__version__}"
        ),
        effect=found / (error * math.sqrt(n)) if error > 0 else None,
        detectable=_detectable(error, n) if error > 0 else None,
        needed=samples_needed(found, error * math.sqrt(n)),
    )


def _of_hits(differences: Array) -> interval.Interval:
    """The interval of a difference of shares, by one more hit for each (Bonett and Price, 2012,
    Psychological Methods 17:177).

    Where one system alone hits every sample, none of the others sees how far from certain that is.
    """
    counted = np.append(differences, (-1, 1))
    centre = float(counted.mean())
    reach = interval.NORMAL_QUANTILE * float(counted.std()) / math.sqrt(len(counted))
    return max(-1.0, centre - reach), min(1.0, centre + reach)


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
