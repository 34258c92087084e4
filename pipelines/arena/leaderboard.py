"""Who leads in one task, by all votes that were cast, and which leads are shown at all.

A vote gives the ratings one pair, for pairs of one vote are not independent and would make
intervals too narrow: where more than two outputs were shown, the best one against another,
drawn by the vote's own hash. Where the odds of a choice do not depend on what else is shown
(Luce, 1959), that pair has the odds of a duel between the two alone.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from pipelines.arena.ballot import ALL_BAD, PLACES, TIE, Ballot, Contender
from pipelines.metrics.interval import NORMAL_QUANTILE
from pipelines.metrics.paired import MOST_NEEDED, POWER
from pipelines.metrics.ratings import Rating, Vote, bradley_terry

FEWEST_PAIRS = 10
"""With fewer pairs in the ratings, a model's interval is too rough to compare it."""

NO_DIFFERENCE = "no difference shown"
TOO_FEW = f"too few votes, {FEWEST_PAIRS} are the fewest"
_POWERED = 1 + NormalDist().inv_cdf(POWER) / NORMAL_QUANTILE
_SHORT_COMMIT = 7


@dataclass(frozen=True)
class Standing:
    """One model: its rating, None before its first pair, and in how many duels it was what.

    ``key`` is its contender's, ``model`` its label.

    ``better_than`` and ``worse_than`` name the models whose intervals lie wholly below and
    wholly above, of those that it met, if only by way of others. ``not_met`` names the
    other rated ones.

    ``nearest`` is the one of those met, with votes enough, that is nearest to being shown to
    differ. So many votes show a distance of ``detectable`` points from it with power ``POWER``,
    and ``needed`` votes one as large as this; None for more than ``MOST_NEEDED``.
    """

    key: str
    model: str
    rating: Rating | None
    duels: int
    best: int
    ties: int
    all_bad: int
    better_than: tuple[str, ...]
    worse_than: tuple[str, ...]
    not_met: tuple[str, ...] = ()
    nearest: str | None = None
    detectable: float = 0.0
    needed: int | None = None

    @property
    def verdict(self) -> str:
        """Against whom a difference is shown."""
        if not _is_compared(self.rating):
            return TOO_FEW
        parts = [
            f"{word} than {', '.join(names)}"
            for word, names in (("better", self.better_than), ("worse", self.worse_than))
            if names
        ]
        parts = parts or [NO_DIFFERENCE + self._could_be_shown()]
        if self.not_met:
            parts.append(f"has not met {', '.join(self.not_met)}")
        return "; ".join(parts)

    def _could_be_shown(self) -> str:
        if self.rating is None or self.nearest is None:
            return ""
        needed = f"more than {MOST_NEEDED:,}" if self.needed is None else f"about {self.needed:,}"
        return (
            f" ({_pairs(self.rating)} votes show a distance of {self.detectable:.0f} points or "
            f"more, {needed} one as large as from {self.nearest})"
        )


@dataclass(frozen=True)
class Leaderboard:
    """The standings of one task, group after group of models that votes connect, the best of each
    first, and how many votes were what.

    ``warning`` says which ratings rest on a prior; ``signature`` how they were made.
    """

    standings: tuple[Standing, ...] = ()
    votes: int = 0
    ties: int = 0
    all_bad: int = 0
    signature: str = ""
    warning: str | None = None


def leaderboard(ballots: Sequence[Ballot], task: str) -> Leaderboard:
    """The leaderboard of a task; empty without votes. The order of the votes does not matter."""
    ballots = [ballot for ballot in ballots if ballot.task == task]
    names = labels(contender for ballot in ballots for contender in ballot.models)
    pairs = [_pair(ballot, names) for ballot in ballots if ballot.choice != ALL_BAD]
    found = bradley_terry(pairs) if pairs else None
    ratings = {} if found is None else {rating.name: rating for rating in found.ratings}
    keys = {name: key for key, name in names.items()}
    order = [*ratings, *(name for name in keys if name not in ratings)]
    tally = _tally(ballots)
    outcomes = Counter(ballot.choice for ballot in ballots)
    return Leaderboard(
        tuple(_standing(name, keys[name], ratings, tally) for name in order),
        votes=len(ballots),
        ties=outcomes[TIE],
        all_bad=outcomes[ALL_BAD],
        signature="" if found is None else found.signature,
        warning=None if found is None else found.warning,
    )


def labels(contenders: Iterable[Contender]) -> dict[str, str]:
    """A name for each model's key; with its commits where two models bear the plain name."""
    named = {contender.key: contender for contender in contenders}
    bearers = Counter(contender.name for contender in named.values())
    return {
        key: _with_commits(contender) if bearers[contender.name] > 1 else contender.name
        for key, contender in sorted(named.items())
    }


def _with_commits(contender: Contender) -> str:
    commits = [contender.commit, *(adapter.commit for adapter in contender.adapters)]
    return f"{contender.name} ({', '.join(commit[:_SHORT_COMMIT] for commit in commits)})"


def _pair(ballot: Ballot, names: Mapping[str, str]) -> Vote:
    """The vote between two that a ballot counts as."""
    keys = [contender.key for contender in ballot.models]
    content = [ballot.time, ballot.input_sha256, str(ballot.seed), *keys, ballot.choice]
    number = int.from_bytes(hashlib.sha256("\0".join(content).encode()).digest())
    first = keys[number % len(keys)] if ballot.best is None else ballot.best.key
    others = [key for key in keys if key != first]
    second = others[number // len(keys) % len(others)]
    return Vote(names[first], names[second], "first" if ballot.best is not None else "tie")


def _is_compared(rating: Rating | None) -> bool:
    return rating is not None and _pairs(rating) >= FEWEST_PAIRS


def _pairs(rating: Rating) -> int:
    return rating.wins + rating.losses + rating.ties


def _shortfall(own: Rating, others: Sequence[Rating]) -> dict[str, Any]:
    """The fields of a standing that say how far it is from a difference that is shown."""

    def detectable(other: Rating) -> float:
        """A lead at which the intervals' facing parts would not meet, four times of five."""
        upper, lower = (own, other) if own.points >= other.points else (other, own)
        return (upper.points - upper.low + lower.high - lower.points) * _POWERED

    def lead(other: Rating) -> float:
        return abs(own.points - other.points)

    nearest = max(others, key=lambda other: lead(other) / detectable(other), default=None)
    if nearest is None:
        return {}
    least, pairs = detectable(nearest), _pairs(own)
    is_hopeless = lead(nearest) * math.sqrt(MOST_NEEDED) <= least * math.sqrt(pairs)
    needed = None if is_hopeless else math.ceil(pairs * (least / lead(nearest)) ** 2)
    return {"nearest": nearest.name, "detectable": least, "needed": needed}


def _tally(ballots: Iterable[Ballot]) -> Counter[tuple[str, str]]:
    """How often a key was shown, best, and there when all were alike or all bad."""
    tally: Counter[tuple[str, str]] = Counter()
    for ballot in ballots:
        for place, contender in zip(PLACES, ballot.models, strict=False):
            tally[contender.key, "shown"] += 1
            if ballot.choice in (place, TIE, ALL_BAD):
                tally[contender.key, "best" if ballot.choice == place else ballot.choice] += 1
    return tally


def _standing(
    name: str,
    key: str,
    ratings: Mapping[str, Rating],
    tally: Counter[tuple[str, str]],
) -> Standing:
    own = ratings.get(name)
    better, worse, apart = [], [], []
    shortfall: dict[str, Any] = {}
    if own is not None and _is_compared(own):
        apart = [rating.name for rating in ratings.values() if rating.group != own.group]
        met = [rating for rating in ratings.values() if rating.group == own.group]
        compared = [rating for rating in met if _is_compared(rating)]
        better = [rating.name for rating in compared if rating.high < own.low]
        worse = [rating.name for rating in compared if rating.low > own.high]
        shortfall = _shortfall(own, [rating for rating in compared if rating is not own])
    return Standing(
        key=key,
        model=name,
        rating=own,
        duels=tally[key, "shown"],
        best=tally[key, "best"],
        ties=tally[key, TIE],
        all_bad=tally[key, ALL_BAD],
        better_than=tuple(better),
        worse_than=tuple(worse),
        not_met=tuple(apart),
        **shortfall,
    )
