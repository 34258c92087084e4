"""Ratings: published and hand-made cases, order, perfect wins, islands, and coverage."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest

from pipelines.errors import InvalidValue
from pipelines.metrics.ratings import OUTCOMES, Ratings, Vote, bradley_terry
from tests.benchmarks.ratings import coverage, simulated

LEAST_PRIOR = 0.001


def votes(*counted: tuple[str, str, str, int]) -> list[Vote]:
    return [Vote(one, other, said) for one, other, said, count in counted for _ in range(count)]


def points(ratings: Ratings) -> dict[str, float]:
    return {rating.name: rating.points for rating in ratings.ratings}


def nats(distance: float) -> float:
    return distance * math.log(10) / 400


def test_two_models_by_hand() -> None:
    found = bradley_terry(
        votes(("a", "b", "first", 30), ("b", "a", "first", 10)), prior=LEAST_PRIOR
    )
    place = points(found)
    assert nats(place["a"] - place["b"]) == pytest.approx(math.log(3), abs=1e-3)
    assert (place["a"] + place["b"]) / 2 == pytest.approx(1000)
    assert found.tie_strength == 0
    assert found.warning is None


def test_two_models_with_ties_by_hand() -> None:
    # The three outcomes' chances are their shares: a/b = 18/8, t = 24/√(18·8).
    found = bradley_terry(
        votes(("a", "b", "first", 18), ("a", "b", "second", 8), ("b", "a", "tie", 24)),
        prior=LEAST_PRIOR,
    )
    place = points(found)
    assert nats(place["a"] - place["b"]) == pytest.approx(math.log(18 / 8), abs=1e-3)
    assert found.tie_strength == pytest.approx(2, abs=1e-3)


def test_three_models_in_a_ring_are_equal() -> None:
    ring = votes(("a", "b", "first", 5), ("b", "c", "first", 5), ("c", "a", "first", 5))
    assert list(points(bradley_terry(ring)).values()) == pytest.approx([1000] * 3)


def test_the_likelihood_is_at_its_height() -> None:
    rng = np.random.default_rng(0)
    cast = simulated(np.array([0.0, 0.5, 1.2, -0.4]), 0.7, 300, rng)
    found = bradley_terry(cast, prior=LEAST_PRIOR)
    place = {name: nats(p - 1000) for name, p in points(found).items()}

    def log_likelihood(place: dict[str, float], tie: float) -> float:
        total = 0.0
        for vote in cast:
            one, other = place[vote.first], place[vote.second]
            weights = {
                "first": math.exp(one),
                "second": math.exp(other),
                "tie": tie * math.exp((one + other) / 2),
            }
            total += math.log(weights[vote.outcome] / sum(weights.values()))
        return total

    height = log_likelihood(place, found.tie_strength)
    for name in place:
        for step in (-0.02, 0.02):
            moved = place | {name: place[name] + step}
            assert log_likelihood(moved, found.tie_strength) < height
    for factor in (0.97, 1.03):
        assert log_likelihood(place, found.tie_strength * factor) < height


def test_neither_the_order_of_votes_nor_the_sides_matter() -> None:
    rng = np.random.default_rng(0)
    cast = simulated(np.array([0.0, 0.5, 1.2, -0.4]), 0.7, 200, rng)
    cast += votes(("model 0", "model 1", "both bad", 7))
    other = {"first": "second", "second": "first"}
    turned = [Vote(v.second, v.first, other.get(v.outcome, v.outcome)) for v in cast]
    shuffled = [turned[i] for i in rng.permutation(len(turned))]
    assert bradley_terry(shuffled) == bradley_terry(cast)


def test_votes_twice_leave_less_doubt() -> None:
    cast = votes(("a", "b", "first", 30), ("a", "b", "second", 20), ("a", "b", "tie", 9))
    once, twice = bradley_terry(cast), bradley_terry(cast * 2)
    assert points(twice)["a"] == pytest.approx(points(once)["a"], abs=1)
    width = [r.ratings[0].high - r.ratings[0].low for r in (once, twice)]
    assert width[1] == pytest.approx(width[0] / math.sqrt(2), rel=0.15)


def test_both_bad_is_counted_apart() -> None:
    cast = votes(("a", "b", "first", 9), ("b", "a", "first", 4))
    plain, bad = bradley_terry(cast), bradley_terry(cast + votes(("a", "b", "both bad", 50)))
    assert points(bad) == points(plain)
    assert (bad.votes, bad.both_bad) == (13, 50)
    first, second = bad.ratings
    assert (first.name, first.wins, first.losses, first.ties, first.both_bad) == ("a", 9, 4, 0, 50)
    assert (second.wins, second.losses, second.votes) == (4, 9, 63)


def test_a_perfect_record_leads_as_far_as_the_prior_lets_it() -> None:
    cast = votes(("a", "b", "first", 20))
    found = bradley_terry(cast, prior=1)
    place = points(found)
    # The slope of 20 wins against each other and of half a win and half a loss each.
    theta = nats(place["a"] - 1000)
    slope = 20 / (1 + math.exp(2 * theta)) + 0.5 - 1 / (1 + math.exp(-theta))
    assert slope == pytest.approx(0, abs=1e-6)
    assert found.prior == 1
    assert "|prior:1|" in found.signature
    assert found.warning is not None
    assert "b never won or tied against a" in found.warning
    assert "the prior of 1 games" in found.warning
    for rating in found.ratings:
        assert rating.low < rating.points < rating.high, "the interval ended at the estimate"
    weaker = points(bradley_terry(cast, prior=0.1))
    assert weaker["a"] - weaker["b"] > place["a"] - place["b"]


def test_models_that_never_met_are_rated_apart() -> None:
    """They had one ranking, which the prior alone made, and were said never to have won."""
    cast = votes(
        ("a", "b", "first", 6), ("b", "a", "first", 3), ("c", "d", "tie", 4), ("c", "d", "first", 1)
    )
    found = bradley_terry(cast)
    assert found.warning is not None
    assert "have not met" in found.warning and "a, b; c, d" in found.warning
    assert "never won" not in found.warning
    assert [(r.name, r.group) for r in found.ratings] == [("a", 0), ("b", 0), ("c", 1), ("d", 1)]
    for group in (0, 1):
        own = [r.points for r in found.ratings if r.group == group]
        assert sum(own) / 2 == pytest.approx(1000)
    assert all(math.isfinite(r.low) and math.isfinite(r.high) for r in found.ratings)
    met = bradley_terry(cast + votes(("a", "c", "tie", 1)))
    assert met.warning is None


@pytest.mark.parametrize("outcome", ["tie", "both bad"])
def test_votes_that_tell_nothing_leave_the_models_equal(outcome: str) -> None:
    found = bradley_terry(votes(("a", "b", outcome, 8)))
    assert [r.points for r in found.ratings] == pytest.approx([1000, 1000])
    assert [r.name for r in found.ratings] == ["a", "b"]
    assert math.isfinite(found.tie_strength)


def test_one_vote_is_enough_and_any_name_will_do() -> None:
    found = bradley_terry([Vote("кошка@é", "🍎/b", "second")])
    assert [r.name for r in found.ratings] == ["🍎/b", "кошка@é"]
    assert found.ratings[0].low <= found.ratings[0].points <= found.ratings[0].high


def test_ten_thousand_votes_take_less_than_a_second() -> None:
    cast = simulated(np.linspace(-1, 1, 8), 0.6, 10_000, np.random.default_rng(0))
    bradley_terry(cast[:10])
    began = time.process_time()
    found = bradley_terry(cast)
    assert time.process_time() - began < 1
    assert [r.name for r in found.ratings] == [f"model {i}" for i in range(7, -1, -1)]


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """93 to 97% of them. The four of one simulation hang together, so 1,600 are worth 400 at
    least: a binomial standard error of at most 1.1 points, and the margin is 1.8 of them."""
    assert coverage(models=4, votes=150, simulations=400) == pytest.approx(0.95, abs=0.02)


def test_intervals_of_a_few_votes_of_unequal_models_hold_the_truth_too() -> None:
    """Of 20 votes, many of them won by one model, the bootstrap held it in 84%."""
    held = coverage(models=2, votes=20, simulations=400, tie_strength=0.0, spread=1.2)
    assert 0.92 < held < 0.99


def test_a_pair_s_interval_is_what_the_likelihood_ratio_does_not_refuse() -> None:
    found = bradley_terry(votes(("a", "b", "first", 15), ("a", "b", "second", 5)), LEAST_PRIOR)

    def twice_lost(distance: float) -> float:
        share = 1 / (1 + math.exp(-distance))
        return 2 * (15 * math.log(0.75 / share) + 5 * math.log(0.25 / (1 - share)))

    rating = found.ratings[0]
    for end in (rating.low, rating.high):
        assert twice_lost(2 * nats(end - 1000)) == pytest.approx(1.959964**2, abs=0.02)


@pytest.mark.parametrize(
    ("cast", "message"),
    [
        ([], "There are no votes"),
        ([Vote("a", "a", "first")], "vote 1 is of 'a' against itself"),
        ([Vote("a", "b", "first"), Vote("a", "b", "left")], "outcome of vote 2 is 'left'; choose"),
        ([Vote("a", "b", None)], "outcome of vote 1 is None"),  # type: ignore[arg-type]
        ([Vote("", "b", "tie")], "a model of vote 1 is ''; give a name"),
        ([Vote("a", None, "tie")], "a model of vote 1 is None"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_rated_is_refused(cast: Any, message: str) -> None:
    with pytest.raises(InvalidValue, match=message):
        bradley_terry(cast)


@pytest.mark.parametrize("prior", [0, -1, 101, math.nan, True, None])
def test_a_prior_out_of_range_is_refused(prior: Any) -> None:
    with pytest.raises(InvalidValue, match="prior is"):
        bradley_terry(votes(("a", "b", "tie", 1)), prior=prior)
    assert OUTCOMES == ("first", "second", "tie", "both bad")
