"""The leaderboard says what votes show, and no more."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from pipelines.arena.ballot import (
    ALL_BAD,
    TIE,
    AdapterUse,
    Contender,
    from_lines,
    to_lines,
)
from pipelines.arena.leaderboard import (
    FEWEST_PAIRS,
    NO_DIFFERENCE,
    TOO_FEW,
    Leaderboard,
    labels,
    leaderboard,
)
from tests.arena.ballots import ballot, contender, duels


def verdicts(board: Leaderboard) -> dict[str, str]:
    return {standing.model: standing.verdict for standing in board.standings}


def test_without_votes_there_is_nothing_to_lead() -> None:
    assert leaderboard([], "write") == Leaderboard()
    assert leaderboard(duels(3, 1), "paint") == Leaderboard()


def test_who_wins_far_more_often_is_shown_to_be_better() -> None:
    board = leaderboard(duels(40, 5, ties=4), "write")
    assert [standing.model for standing in board.standings] == ["x", "y"]
    assert verdicts(board) == {"x": "better than y", "y": "worse than x"}
    first = board.standings[0]
    assert (first.duels, first.best, first.ties, first.all_bad) == (49, 40, 4, 0)
    assert first.rating is not None
    assert first.rating.low < first.rating.points < first.rating.high
    assert (board.votes, board.ties, board.all_bad) == (49, 4, 0)
    assert "Bradley-Terry" in board.signature


def test_where_intervals_overlap_no_difference_is_shown() -> None:
    found = verdicts(leaderboard(duels(8, 7), "write"))
    assert all(verdict.startswith(NO_DIFFERENCE) for verdict in found.values())


def test_beside_no_difference_stands_how_many_votes_would_show_one() -> None:
    """Of coins of 0.6 against 0.5, 194 are needed for a chance of 80% by the textbook."""
    board = leaderboard(duels(18, 12), "write")
    first = board.standings[0]
    assert first.needed == pytest.approx(194, rel=0.15)
    assert first.verdict == (
        f"no difference shown (30 votes show a distance of {first.detectable:.0f} points or more, "
        f"about {first.needed} one as large as from y)"
    )
    even = leaderboard(duels(15, 15), "write").standings[0]
    assert even.needed is None and "more than 1,000,000 one as large" in even.verdict


def test_a_few_votes_show_nothing_however_clear() -> None:
    board = leaderboard(duels(FEWEST_PAIRS - 1, 0), "write")
    assert set(verdicts(board).values()) == {TOO_FEW}
    assert board.warning is not None, "the distance rests on the prior"


def test_the_order_of_votes_and_of_places_does_not_matter() -> None:
    votes = duels(12, 9, ties=3) + [ballot("xyz", "z", second=n) for n in range(9)]
    shuffled = random.Random(0).sample(votes, len(votes))
    assert leaderboard(shuffled, "write") == leaderboard(votes, "write")


def test_a_log_replays_to_the_same_leaderboard() -> None:
    votes = duels(12, 9, ties=3) + [ballot("zxy", TIE, second=n) for n in range(9)]
    assert leaderboard(from_lines(to_lines(votes)), "write") == leaderboard(votes, "write")


def test_a_vote_that_all_are_bad_moves_no_rating_and_is_counted_apart() -> None:
    votes = duels(12, 9)
    bad = [ballot("xy", ALL_BAD, second=n) for n in range(5)]
    before, after = leaderboard(votes, "write"), leaderboard(votes + bad, "write")
    assert [s.rating for s in after.standings] == [s.rating for s in before.standings]
    assert (after.all_bad, after.votes) == (5, 26)
    assert [standing.all_bad for standing in after.standings] == [5, 5]


def test_a_model_without_a_pair_is_listed_without_a_rating() -> None:
    board = leaderboard([*duels(20, 20), ballot("xz", ALL_BAD)], "write")
    last = board.standings[-1]
    assert (last.model, last.rating, last.duels, last.verdict) == ("z", None, 1, TOO_FEW)
    only = leaderboard([ballot("xz", ALL_BAD)], "write")
    assert [standing.rating for standing in only.standings] == [None, None]


def test_models_that_never_met_are_compared_by_way_of_others_or_not_at_all() -> None:
    apart = [ballot("ab", "a" if n % 8 else "b", second=n) for n in range(50)]
    found = verdicts(leaderboard([*duels(45, 5), *apart], "write"))
    assert found["x"] == "better than y; has not met a, b"
    assert found["a"] == "better than b; has not met x, y"
    board = leaderboard([*duels(45, 5), *apart], "write")
    assert board.warning is not None and "have not met" in board.warning
    assert [s.model for s in board.standings] == ["a", "b", "x", "y"], "one group after the other"
    linked = apart + [ballot("bc", "b" if n % 8 else "c", second=n) for n in range(50)]
    assert verdicts(leaderboard(linked, "write"))["a"] == "better than b, c"


def test_a_vote_between_many_counts_as_one_pair() -> None:
    votes = [ballot("wxyz", "w" if n % 4 else "z", second=n) for n in range(60)]
    board = leaderboard(votes, "write")
    ratings = [standing.rating for standing in board.standings if standing.rating is not None]
    assert sum(rating.wins for rating in ratings) == 60
    assert sum(rating.losses for rating in ratings) == 60
    assert all(rating.losses > 8 for rating in ratings if rating.name in "xy"), "others take turns"
    assert {s.model: s.best for s in board.standings} == {"w": 45, "z": 15, "x": 0, "y": 0}
    ties = leaderboard([replace(vote, choice=TIE) for vote in votes], "write")
    assert all(10 < s.rating.ties < 50 for s in ties.standings if s.rating is not None)


def test_choices_by_luce_give_back_the_strengths_that_made_them() -> None:
    rng = random.Random(3)
    strengths = {"w": 8.0, "x": 4.0, "y": 2.0, "z": 1.0}
    votes = []
    for n in range(3_000):
        shown = rng.sample("wxyz", 3)
        (best,) = rng.choices(shown, [strengths[name] for name in shown])
        votes.append(ballot("".join(shown), best, second=n))
    points = {s.model: s.rating.points for s in leaderboard(votes, "write").standings if s.rating}
    for stronger, weaker in ("wx", "xy", "yz"):
        assert points[stronger] - points[weaker] == pytest.approx(120.4, abs=45)  # twice the odds


def test_two_commits_of_one_name_are_two_models() -> None:
    adapted = Contender("x", "1" * 40, (AdapterUse("tales", "2" * 40, 0.8),))
    named = labels([contender("x", "1" * 40), contender("x", "2" * 40), adapted])
    assert set(named.values()) == {"x (1111111)", "x (2222222)", "x + tales:0.8"}
    again = replace(adapted, commit="3" * 40)
    assert set(labels([adapted, again]).values()) == {
        "x + tales:0.8 (1111111, 2222222)",
        "x + tales:0.8 (3333333, 2222222)",
    }


def test_ten_thousand_votes_are_read_in_seconds() -> None:
    import time

    votes = duels(4_000, 3_000, ties=3_000)
    began = time.perf_counter()
    leaderboard(votes, "write")
    assert time.perf_counter() - began < 10, "about one alone; other work may be going on"
