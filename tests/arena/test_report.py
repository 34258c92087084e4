"""What is said of votes: rows as people read them."""

from __future__ import annotations

from dataclasses import replace

from pipelines.arena.ballot import ALL_BAD, AdapterUse
from pipelines.arena.leaderboard import TOO_FEW, leaderboard
from pipelines.arena.report import (
    BOARD_HEADERS,
    NAMES_HEADERS,
    board_rows,
    names_rows,
    what_is_lacking,
)
from pipelines.settings import Settings
from tests.arena.ballots import ballot, contender, duels
from tests.arena.conftest import NAMES


def test_the_board_has_a_row_for_each_model() -> None:
    votes = [*duels(40, 5, ties=4), ballot("xz", ALL_BAD)]
    first, second, third = board_rows(leaderboard(votes, "write"))
    rating = leaderboard(votes, "write").standings[0].rating
    assert rating is not None
    assert first == [
        "x", f"{rating.points:.0f}", f"{rating.low:.0f} to {rating.high:.0f}",
        "50", "40", "4", "1", "better than y",
    ]  # fmt: skip
    assert second[0] == "y" and second[-1] == "worse than x"
    assert third == ["z", "–", "–", "1", "0", "0", "1", TOO_FEW]
    assert {len(first), len(second), len(third)} == {len(BOARD_HEADERS)}


def test_after_a_vote_each_place_has_its_name_and_commits() -> None:
    tuned = replace(contender("x", "1" * 40), adapters=(AdapterUse("tales", "2" * 40, 1.0),))
    votes = [*duels(2, 1), replace(ballot("yx", "y"), models=(contender("y"), tuned))]
    rows = names_rows(votes[-1], leaderboard(votes, "write"))
    assert rows == [
        ["A", "y", "0" * 12, "2 of 4 duels"],
        ["B", "x + tales", f"{'1' * 12} + {'2' * 12}", "0 of 1 duels"],
    ]
    assert len(rows[0]) == len(NAMES_HEADERS)


def test_where_models_are_lacking_it_says_what_to_do(settings: Settings) -> None:
    assert what_is_lacking(settings, "write") == []
    alone = replace(settings, models_dir=settings.models_dir / NAMES["write"][0])
    (none,) = what_is_lacking(alone, "write")
    assert "there is none for this task. Put a checkpoint" in none
    (online,) = what_is_lacking(replace(alone, hub_enabled=True), "write")
    assert "Hub reference" in online


def test_the_one_model_that_is_here_is_named(settings: Settings) -> None:
    one = settings.data_dir / "models"
    one.mkdir(parents=True)
    (one / "lonely").symlink_to(settings.models_dir / NAMES["paint"][0])
    (line,) = what_is_lacking(replace(settings, models_dir=one), "paint")
    assert "only lonely for this task" in line
