"""Ratings from votes between two: Bradley-Terry by maximum likelihood, with ties.

Ties have a probability of their own (Davidson, 1970, JASA 65:317): with strengths a and b
and a tie strength t of 0 or more, the first wins with a/Z, the second with b/Z, and they tie
with t√(ab)/Z. Half a win to each, the other custom, has no such probability to draw votes
from. In the logarithms the likelihood is concave, so there is one answer, whatever the order
of votes. Intervals are of the profile likelihood (Venzon and Moolgavkar, 1988, Applied Statistics
37:87): all ratings that the likelihood-ratio test does not refuse, so that a perfect record has
room on both sides. A vote that both are bad says nothing of which is better and is counted apart.

Perfect wins have no finite answer. A prior gives one: each model also won and lost ``prior / 2``
games against one imaginary model. Its strength is shown. Models that votes do not connect, not even
by way of others, are rated apart: nothing is known of their distance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from pipelines.errors import InvalidValue, abbreviated
from pipelines.validation import choice, number

OUTCOMES = ("first", "second", "tie", "both bad")
PRIOR = 0.5
CENTRE = 1000.0
PER_NAT = 400 / np.log(10)
"""Points of the usual scale, on which 400 more win ten times as often as they lose."""
_STEPS = 200
_LONGEST_STEP = 2.0
_TOLERANCE = 1e-7
_ROUGH_TOLERANCE = 1e-4
"""Where strengths are held far from the best ones; rounding allows no more there."""
_FARTHEST = 20.0
"""Of an interval's end from the estimate, in nats; beyond it nothing can be computed."""
_REACH = 1.959964
"""The square root of the 95% quantile of chi-square with one degree of freedom."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Vote:
    """What one visitor said of two models: an outcome of ``OUTCOMES``."""

    first: str
    second: str
    outcome: str


@dataclass(frozen=True)
class Rating:
    """A model's place: points around 1000, the 95% interval, and what was voted. Only ratings of
    one ``group`` may be compared; the one of the most votes is group 0."""

    name: str
    points: float
    low: float
    high: float
    wins: int
    losses: int
    ties: int
    both_bad: int
    group: int = 0

    @property
    def votes(self) -> int:
        return self.wins + self.losses + self.ties + self.both_bad


@dataclass(frozen=True)
class Ratings:
    """All models, group after group and the best first. ``tie_strength`` is Davidson's: 0 without
    ties, 1 if equals tie as often as the first wins. ``warning`` says which places the prior made
    and which models have not met."""

    ratings: tuple[Rating, ...]
    tie_strength: float
    votes: int
    both_bad: int
    prior: float
    signature: str
    warning: str | None = None


def bradley_terry(votes: Sequence[Vote], prior: float = PRIOR) -> Ratings:
    """The ratings that make the votes most probable; their mean is 1000 points in each group of
    models that votes connect.

    Which of two was first, and the order of the votes, do not matter.

    Args:
        votes: of two different models each, at least 1.
        prior: games of each model against the imaginary one, half of them won, from 0.001
            to 100; the less, the less it draws ratings together, and the further a perfect
            record leads.

    Raises:
        InvalidValue: no votes, one of a model against itself, or an unknown outcome.
    """
    prior = number("prior", prior, 0.001, 100)
    names, cells, bad = _counted(votes)
    pairs = np.array(list(combinations(range(len(names)), 2)))
    groups = _groups(names, votes)
    game = _Games(cells, pairs, prior)
    fitted = game.fitted()
    points = CENTRE + PER_NAT * game.profile(fitted, _contrasts(groups))
    ends: list[tuple[float, float, float]] = [(low, at, high) for low, at, high in points.tolist()]
    ratings = [
        _rating(
            name, *ends[i], cells[pairs[:, 0] == i], cells[pairs[:, 1] == i], bad[name],
            groups[i],
        )
        for i, name in enumerate(names)
    ]  # fmt: skip
    total, ties = int(cells.sum()), int(cells[:, 2].sum())
    return Ratings(
        tuple(sorted(ratings, key=lambda rating: (rating.group, -rating.points, rating.name))),
        tie_strength=float(np.exp(fitted[-1])) if ties else 0.0,
        votes=total,
        both_bad=sum(bad.values()) // 2,
        prior=prior,
        signature=(
            f"Bradley-Terry|ties:davidson|prior:{prior:g}|models:{len(names)}|votes:{total}"
            f"|ci:profile-likelihood|numpy:{np.__version__}"
        ),
        warning=_warning(names, cells, pairs, groups, prior),
    )


def _rating(
    name: str,
    low: float,
    points: float,
    high: float,
    as_one: npt.NDArray[np.int64],
    as_other: npt.NDArray[np.int64],
    both_bad: int,
    group: int,
) -> Rating:
    """From a model's pairs of which it is the one, and those of which it is the other."""
    return Rating(
        name,
        points,
        low,
        high,
        wins=int(as_one[:, 0].sum() + as_other[:, 1].sum()),
        losses=int(as_one[:, 1].sum() + as_other[:, 0].sum()),
        ties=int(as_one[:, 2].sum() + as_other[:, 2].sum()),
        both_bad=both_bad,
        group=group,
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


def _groups(names: Sequence[str], votes: Sequence[Vote]) -> list[int]:
    """Of each model the number of the group that votes connect it with; of most votes first."""
    joined = {name: frozenset((name,)) for name in names}
    for first, second in {(vote.first, vote.second) for vote in votes}:
        both = joined[first] | joined[second]
        joined |= dict.fromkeys(both, both)
    counted = Counter(joined[vote.first] for vote in votes)
    order = sorted(counted, key=lambda group: (-counted[group], min(group)))
    return [order.index(joined[name]) for name in names]


def _contrasts(groups: Sequence[int]) -> Array:
    """What takes log strengths to their distances from the mean of their group:
    ``(models, models)``."""
    is_same = np.equal.outer(groups, groups)
    return np.asarray(np.eye(len(groups)) - is_same / is_same.sum(axis=1, keepdims=True))


class _Games:
    """All games, imaginary ones too, and how probable strengths make what came of them.

    Strengths are logarithms, ``(..., models + 1)``; the last is that of ties.
    """

    def __init__(self, cells: npt.NDArray[np.int64], pairs: npt.NDArray[np.int64], prior: float):
        models = int(pairs.max()) + 1
        imaginary = np.broadcast_to([prior / 2, prior / 2, 0.0], (models, 3))
        self._counts = np.concatenate([cells, imaginary])
        self._played = self._counts.sum(axis=1)
        self._features = _features(pairs, models)
        self._flat = self._features.reshape(-1, models + 1)
        self._has_ties = bool(cells[:, 2].any())

    def fitted(self) -> Array:
        """The most probable strengths, by Newton's method."""
        return np.asarray(self._climbed(np.zeros((1, self._flat.shape[1])), None, None)[0])

    def profile(self, fitted: Array, contrasts: Array) -> Array:
        """Each contrast of the strengths with the ends of its interval: ``(models, 3)``.

        An end is where the best strengths with that contrast are ``_REACH`` away, as the root of
        twice the difference in log likelihood measures; it is looked for by proportion, for that
        root is nearly linear in the distance.

        Args:
            contrasts: of the models, ``(models, models)``.
        """
        models = len(contrasts)
        best = contrasts @ fitted[:-1]
        rows = np.concatenate([np.tile(contrasts, (2, 1)), np.zeros((2 * models, 1))], axis=1)
        way = np.repeat([-1.0, 1.0], models)
        curvature = self._slopes(fitted[None])[1][0]
        errors = np.sqrt(np.einsum("ij,jk,ik->i", rows, np.linalg.inv(curvature), rows))
        reach = np.minimum(_REACH * errors, _FARTHEST)
        found = np.tile(fitted, (2 * models, 1))
        height = self._log_likelihood(fitted[None])
        for _ in range(_STEPS):
            found = self._climbed(found, rows, np.tile(best, 2) + way * reach)
            away = np.sqrt(np.maximum(2 * (height - self._log_likelihood(found)), 1e-12))
            nearer = np.minimum(reach * np.clip(_REACH / away, 0.5, 2.0), _FARTHEST)
            if np.abs(nearer - reach).max() < _ROUGH_TOLERANCE:
                break
            reach = nearer
        return np.column_stack([best - reach[:models], best, best + reach[models:]])

    def _climbed(self, found: Array, rows: Array | None, wanted: Array | None) -> Array:
        """The most probable strengths, ``(R, models + 1)``; where there are ``rows`` among those
        of which ``rows @ strengths`` are ``wanted``."""
        for _ in range(_STEPS):
            gradient, curvature = self._slopes(found)
            step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
            if rows is not None:
                held = np.linalg.solve(curvature, rows[..., None])[..., 0]
                missing = wanted - (rows * (found + step)).sum(axis=1)
                step += held * (missing / (rows * held).sum(axis=1))[:, None]
            longest = np.abs(step).max(axis=1, keepdims=True)
            found = found + step * np.minimum(1, _LONGEST_STEP / np.maximum(longest, _LONGEST_STEP))
            if longest.max() < (_TOLERANCE if rows is None else _ROUGH_TOLERANCE):
                break
        return found

    def _slopes(self, found: Array) -> tuple[Array, Array]:
        """The gradient is the observed less the expected features, the Hessian less their
        covariance, as in every exponential family: ``(R, m)`` and ``(R, m, m)``."""
        chances = self._chances(found)
        expected = self._played[:, None] * chances
        gradient = (self._counts - expected).reshape(len(found), -1) @ self._flat
        mean = np.einsum("rgo,gom->rgm", chances, self._features)
        squares = np.einsum("rgo,gom,gon->rmn", expected, self._features, self._features,
                            optimize=True)  # fmt: skip
        curvature = squares - np.einsum("rgm,g,rgn->rmn", mean, self._played, mean, optimize=True)
        if not self._has_ties:
            curvature[:, -1, -1] = 1.0  # without ties their strength is 0
        return np.asarray(gradient), np.asarray(curvature)

    def _log_likelihood(self, found: Array) -> Array:
        with np.errstate(divide="ignore"):
            logs = np.log(self._chances(found))
        return np.asarray((self._counts * np.where(self._counts > 0, logs, 0)).sum(axis=(1, 2)))

    def _chances(self, found: Array) -> Array:
        """Of the three outcomes of every game: ``(R, games, 3)``."""
        weights = np.exp(found @ self._flat.T).reshape(len(found), -1, 3)
        weights[..., 2] *= self._has_ties
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


def _warning(
    names: Sequence[str],
    cells: npt.NDArray[np.int64],
    pairs: npt.NDArray[np.int64],
    groups: Sequence[int],
    prior: float,
) -> str | None:
    """Says which models have not met, and, of those that have, of which one never lost."""
    parts = []
    if max(groups) > 0:
        told = [
            ", ".join(name for name, own in zip(names, groups, strict=True) if own == group)
            for group in range(max(groups) + 1)
        ]
        parts.append(
            f"These have not met, not even by way of others, and are rated apart, each around "
            f"{CENTRE:.0f}: {'; '.join(told)}."
        )
    beaten = (_never_beaten(names, cells, pairs, groups, g) for g in range(max(groups) + 1))
    parts += [
        f"{group} never won or tied against {others}, so their distance rests on the prior of "
        f"{prior:g} games with an imaginary model."
        for group, others in filter(None, beaten)
    ]
    return f"{' '.join(parts)} Collect more votes." if parts else None


def _never_beaten(
    names: Sequence[str],
    cells: npt.NDArray[np.int64],
    pairs: npt.NDArray[np.int64],
    groups: Sequence[int],
    group: int,
) -> tuple[str, str] | None:
    """Models of a group that never won or tied against the others of it, and these."""
    wins_over: dict[int, set[int]] = {i: set() for i, own in enumerate(groups) if own == group}
    for (one, other), (first, second, ties) in zip(pairs.tolist(), cells.tolist(), strict=True):
        if groups[one] == groups[other] == group and (first or ties):
            wins_over[one].add(other)
        if groups[one] == groups[other] == group and (second or ties):
            wins_over[other].add(one)
    for start in wins_over:
        reached, pending = {start}, [start]
        while pending:
            new = wins_over[pending.pop()] - reached
            reached |= new
            pending += new
        others = wins_over.keys() - reached
        if others:
            return tuple(", ".join(names[i] for i in sorted(part)) for part in (reached, others))  # type: ignore[return-value]
    return None
