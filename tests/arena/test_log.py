"""The log keeps what was cast, in order, and nothing can be changed in it."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.arena.log import LogUnavailable, VoteLog
from pipelines.errors import InvalidValue
from pipelines.validation import MAX_SEED
from tests.arena.ballots import ballot
from tests.arena.test_ballot import VOTE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "votes.sqlite3"


def test_a_log_is_empty_and_no_file_before_the_first_vote(path: Path) -> None:
    assert VoteLog(path).ballots() == []
    assert not path.exists()


def test_votes_come_back_whole_in_the_order_cast(path: Path) -> None:
    votes = [VOTE, replace(VOTE, seed=MAX_SEED), ballot("xy", "all bad", "paint"), VOTE]
    log = VoteLog(path)
    for vote in votes:
        log.append(vote)

    assert VoteLog(path).ballots() == votes
    assert log.ballots("paint") == [votes[2]]
    assert log.ballots("describe") == []


def test_what_is_no_vote_is_not_written(path: Path) -> None:
    with pytest.raises(InvalidValue, match="choice"):
        VoteLog(path).append(replace(VOTE, choice="H"))
    assert VoteLog(path).ballots() == []


@pytest.mark.parametrize("change", ["UPDATE votes SET choice = 'A'", "DELETE FROM votes"])
def test_the_database_itself_refuses_to_change_a_vote(path: Path, change: str) -> None:
    log = VoteLog(path)
    log.append(VOTE)
    with (
        closing(sqlite3.connect(path)) as database,
        pytest.raises(sqlite3.IntegrityError, match="never"),
    ):
        database.execute(change)
    assert log.ballots() == [VOTE]


def test_votes_of_many_threads_are_all_kept(path: Path) -> None:
    barrier = threading.Barrier(4)

    def cast(seed: int) -> None:
        barrier.wait()
        for second in range(5):
            VoteLog(path).append(replace(VOTE, seed=seed * 5 + second))

    threads = [threading.Thread(target=cast, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(vote.seed for vote in VoteLog(path).ballots()) == list(range(20))


def test_a_damaged_file_is_told_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(LogUnavailable, match=r"votes\.sqlite3"):
        VoteLog(path).append(VOTE)
    with pytest.raises(LogUnavailable):
        VoteLog(path).ballots()
    assert path.read_bytes() == b"not a database" * 100


def test_a_file_of_a_later_version_is_told(path: Path) -> None:
    VoteLog(path).append(VOTE)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
        database.execute("PRAGMA user_version = 9")
    with pytest.raises(LogUnavailable, match=r"later version .*9.*Update"):
        VoteLog(path).ballots()


def test_a_file_of_no_version_is_brought_up_whole(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    assert VoteLog(path).ballots() == []
    VoteLog(path).append(VOTE)
    assert VoteLog(path).ballots() == [VOTE]
