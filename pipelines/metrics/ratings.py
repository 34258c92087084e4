"""Ratings from votes between two: Bradley-Terry by maximum likelihood, with ties.

Ties have a probability of their own (Davidson, 1970, JASA 65:317): with strengths a and b
and a tie strength t of 0 or more, the first wins with a/Z, the second with b/Z, and they tie
with t√(ab)/Z. Half a win to each, the other custom, has no such probability to draw votes
from. In the logarithms the likelihood is concave, so there is one answer, whatever the order
of votes. Intervals are of a parametric bootstrap: each pair's votes are drawn again from the
fitted model, so that a perfect record is not taken for a certainty. A vote that both are bad
says nothing of which is better and is counted apart.

Perfect wins and models that never met have no finite answer. A prior gives one: each model
also won and lost ``prior / 2`` games against one imaginary model. Its strength is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from pipelines.errors import InvalidValue, abbreviated
from pipelines.validation import MAX_SEED, choice, number, whole_number

OUTCOMES = ("first", "second", "tie", "both bad")
RESAMPLES = 1000
PRIOR = 0.5
CENTRE = 1000.0
PER_NAT = 400 / np.log(10)
"""Points of the usual scale, on which 400 more win ten times as often as they lose."""
_STEPS = 200
_LONGEST_STEP = 2.0
_TOLERANCE = 1e-7

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Vote:
    """What one visitor said of two models: an outcome of ``OUTCOMES``."""

    first: str
    second: str
    outcome: str


@dataclass(frozen=True)
class Rating:
    """A model's place: points around 1000, the 95% interval, and what was voted."""

    name: str
    points: float
    low: float
    high: float
    wins: int
    losses: int
    ties: int
    both_bad: int

    @property
    def votes(self) -> int:
        return self.wins + self.losses + self.ties + self.both_bad


@dataclass(frozen=True)
class Ratings:
    """All models, the best first. ``tie_strength`` is Davidson's: 0 without ties, 1 if
    equals tie as often as the first wins. ``warning`` says which places the prior made."""

    ratings: tuple[Rating, ...]
    tie_strength: float
    votes: int
    both_bad: int
    prior: float
    signature: str
    warning: str | None = None


def bradley_terry(votes: Sequence[Vote], prior: float = PRIOR, seed: int = 0) -> Ratings:
    """The ratings that make the votes most probable; their mean is 1000 points.

    Which of two was first, and the order of the votes, do not matter.

    Args:
        votes: of two different models each, at least 1.
        prior: games of each model against the imaginary one, half of them won, from 0.001
            to 100; the less, the less it draws ratings together, and the further a perfect
            record leads.
        seed: of the intervals' resampling, from 0 to 2^63 - 1.

    Raises:
        InvalidValue: no votes, one of a model against itself, or an unknown outcome.
    """
    prior = number("prior", prior, 0.001, 100)
    seed = whole_number("seed", seed, 0, MAX_SEED)
    names, cells, bad = _counted(votes)
    pairs = np.array(list(combinations(range(len(names)), 2)))
    fitted = _fitted(cells[None], pairs, prior)
    drawn = _resampled(cells, fitted, pairs, seed)
    resampled = _points(_fitted(drawn, pairs, prior))
    low, high = np.quantile(resampled, (0.025, 0.975), axis=0)
    points_of = zip(_points(fitted)[0].tolist(), low.tolist(), high.tolist(), strict=True)
    ratings = [
        _rating(name, *points, cells[pairs[:, 0] == i], cells[pairs[:, 1] == i], bad[name])
        for i, (name, points) in enumerate(zip(names, points_of, strict=True))
    ]
    total, ties = int(cells.sum()), int(cells[:, 2].sum())
    return Ratings(
        tuple(sorted(ratings, key=lambda rating: (-rating.points, rating.name))),
        tie_strength=float(np.exp(fitted[0, -1])) if ties else 0.0,
        votes=total,
        both_bad=sum(bad.values()) // 2,
        prior=prior,
        signature=(
            f"Bradley-Terry|ties:davidson|prior:{prior:g}|models:{len(names)}|votes:{total}"
            f"|ci:bootstrap-{RESAMPLES}|seed:{seed}|numpy:{np.__version__}"
        ),
        warning=_warning(names, cells, pairs, prior),
    )


def _rating(
    name: str,
    points: float,
    low: float,
    high: float,
    as_one: npt.NDArray[np.int64],
    as_other: npt.NDArray[np.int64],
    both_bad: int,
) -> Rating:
    """From a model's pairs of which it is the one, and those of which it is the other."""
    return Rating(
        name,
        points,
        min(low, points),
        max(high, points),
        wins=int(as_one[:, 0].sum() + as_other[:, 1].sum()),
        losses=int(as_one[:, 1].sum() + as_other[:, 0].sum()),
        ties=int(as_one[:, 2].sum() + as_other[:, 2].sum()),
        both_bad=both_bad,
    )


def _counted(votes: Sequence[Vote]) -> tuple[list[str], npt.NDArray[np.int64], Counter[str]]:
    """Names in order, for each pair of them wins of the one, of the other and ties
    ``(pairs, 3)``, and each model's votes that both are bad."""
    tally: Counter[tuple[str, str, str]] = Counter()
    for index, vote in enumerate(votes, start=1):
        choice(f"outcome of vote {index}", vote.outcome, OUTCOMES)
        for name in (vote.first, vote.second):
            if not isinstance(name, str) or not name:
                raise InvalidValue(f"a model of vote {index} is {abbreviated(name)}; give a name.")
        if vote.first == vote.second:
            raise InvalidValue(
                f"vote {index} is of {abbreviated(vote.first)} against itself; give two models."
            )
        tally[vote.first, vote.second, vote.outcome] += 1
    if not tally:
        raise InvalidValue("There are no votes, so there are no ratings. Cast at least one.")
    names = sorted({name for first, second, _ in tally for name in (first, second)})
    rows = {pair: row for row, pair in enumerate(combinations(names, 2))}
    cells = np.zeros((len(rows), 3), np.int64)
    bad: Counter[str] = Counter()
    for (first, second, outcome), count in tally.items():
        if outcome == "both bad":
            bad[first] += count
            bad[second] += count
            continue
        is_turned = first > second
        pair = (second, first) if is_turned else (first, second)
        winner = {"first": int(is_turned), "second": 1 - int(is_turned), "tie": 2}[outcome]
        cells[rows[pair], winner] += count
    return names, cells, bad


def _resampled(
    cells: npt.NDArray[np.int64], fitted: Array, pairs: npt.NDArray[np.int64], seed: int
) -> npt.NDArray[np.int64]:
    """As many votes of each pair again, from the fitted model: ``(RESAMPLES, pairs, 3)``."""
    features = _features(pairs, fitted.shape[1] - 1)[: len(pairs)]
    chances = _chances(fitted, features, np.array([cells[:, 2].any()]))[0]
    size = RESAMPLES, len(pairs)
    return np.random.default_rng(seed).multinomial(cells.sum(axis=1), chances, size)


def _fitted(cells: npt.NDArray[np.int64], pairs: npt.NDArray[np.int64], prior: float) -> Array:
    """Log strengths, then the log tie strength, ``(R, models + 1)``, of ``(R, pairs, 3)`` votes,
    by Newton's method.

    The gradient is the observed less the expected features, the Hessian less their
    covariance, as in every exponential family.
    """
    models = int(pairs.max()) + 1
    features = _features(pairs, models)
    imaginary = np.broadcast_to([prior / 2, prior / 2, 0.0], (len(cells), models, 3))
    counts = np.concatenate([cells, imaginary], axis=1)
    played = counts.sum(axis=-1)
    has_ties = np.asarray(cells[..., 2].any(axis=1))
    flat = features.reshape(-1, models + 1)
    square = models + 1, models + 1
    outer = (flat[:, :, None] * flat[:, None, :]).reshape(len(flat), -1)
    found = np.zeros((len(cells), models + 1))
    for _ in range(_STEPS):
        chances = _chances(found, features, has_ties)
        expected = played[..., None] * chances
        gradient = (counts - expected).reshape(len(cells), -1) @ flat
        mean = np.matmul(chances.transpose(1, 0, 2), features).transpose(1, 2, 0)
        squares = (expected.reshape(len(cells), -1) @ outer).reshape(mean.shape[0], *square)
        curvature = squares - (mean * played[:, None]) @ mean.transpose(0, 2, 1)
        curvature[~has_ties, -1, -1] = 1.0  # without ties their strength is 0
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        longest = np.abs(step).max(axis=1, keepdims=True)
        found += step * np.minimum(1, _LONGEST_STEP / np.maximum(longest, _LONGEST_STEP))
        if longest.max() < _TOLERANCE:
            break
    return found


def _chances(found: Array, features: Array, has_ties: npt.NDArray[np.bool_]) -> Array:
    """Of the three outcomes of every game: ``(R, games, 3)``."""
    weights = np.exp(found @ features.reshape(-1, features.shape[-1]).T)
    weights = weights.reshape(len(found), -1, 3)
    weights[..., 2] *= has_ties[:, None]
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def _features(pairs: npt.NDArray[np.int64], models: int) -> Array:
    """What each outcome's log weight is linear in: ``(games, 3, models + 1)``.

    The games of the pairs, then each model's with the imaginary one, whose log strength is 0.
    """
    features = np.zeros((len(pairs) + models, 3, models + 1))
    for game, (one, other) in enumerate(pairs):
        features[game, 0, one] = features[game, 1, other] = 1
        features[game, 2, [one, other]] = 0.5
    for model in range(models):
        features[len(pairs) + model, 0, model] = 1
        features[len(pairs) + model, 2, model] = 0.5
    features[:, 2, -1] = 1
    return features


def _points(found: Array) -> Array:
    """Points ``(R, models)`` with mean 1000."""
    strengths = found[:, :-1]
    centred = strengths - strengths.mean(axis=1, keepdims=True)
    return np.asarray(CENTRE + PER_NAT * centred)


def _warning(
    names: Sequence[str],
    cells: npt.NDArray[np.int64],
    pairs: npt.NDArray[np.int64],
    prior: float,
) -> str | None:
    """Says so if the models fall into groups of which one never lost to the other."""
    wins_over: dict[int, set[int]] = {i: set() for i in range(len(names))}
    for (one, other), (first, second, ties) in zip(pairs.tolist(), cells.tolist(), strict=True):
        if first or ties:
            wins_over[one].add(other)
        if second or ties:
            wins_over[other].add(one)
    for start in range(len(names)):
        reached, pending = {start}, [start]
        while pending:
            new = wins_over[pending.pop()] - reached
            reached |= new
            pending += new
        if len(reached) < len(names):
            group = ", ".join(names[i] for i in sorted(reached))
            others = ", ".join(names[i] for i in sorted(set(range(len(names))) - reached))
            return (
                f"{group} never won or tied against {others}, so their distance rests on the "
                f"prior of {prior:g} games with an imaginary model. Collect more votes."
            )
    return None
