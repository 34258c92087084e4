"""A duel is shown without names, and voted on once."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import pytest

from pipelines.arena import open_duels
from pipelines.arena.duel import AT_WORK, Duel, DuelRequest, Output, Played
from pipelines.arena.log import LogUnavailable, VoteLog
from pipelines.arena.open_duels import OpenDuels, Shown
from pipelines.errors import InvalidValue
from pipelines.events import Progress, with_result
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from tests.arena.ballots import contender
from tests.arena.conftest import NAMES

REQUEST = DuelRequest("write", ("x", "y", "z"))


@pytest.fixture
def log(tmp_path: Path) -> VoteLog:
    return VoteLog(tmp_path / "votes.sqlite3")


@pytest.fixture
def _no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each model's output is its own name in capitals."""

    def played(studio: Studio, request: DuelRequest) -> Generator[Progress, None, Duel]:
        yield AT_WORK
        each = (
            Played(contender(name), Output(text=name.upper()), {"of": name})
            for name in request.models
        )
        return Duel(request.task, "b" * 64, 7, tuple(each))

    monkeypatch.setattr(open_duels, "generate", played)


def shown(duels: OpenDuels, request: DuelRequest = REQUEST) -> Shown:
    *_, result = with_result(duels.duel(Studio(Settings()), request))
    return cast(Shown, result)


def order(duel: Shown) -> str:
    return "".join(str(output.text).lower() for output in duel.outputs)


def test_what_is_shown_holds_no_name(studio: Studio, log: VoteLog) -> None:
    models = NAMES["write"]
    *events, duel = with_result(OpenDuels(log).duel(studio, DuelRequest("write", models, "Once")))
    told = repr([*events, duel])
    commits = [resident.key.partition("@")[2] for resident in studio.residency.residents()]
    assert len(commits) == 3
    assert [secret for secret in (*models, *commits) if secret in told] == []


@pytest.mark.usefixtures("_no_models")
class TestVotes:
    def test_the_vote_goes_to_who_stood_there(self, log: VoteLog) -> None:
        duels = OpenDuels(log)
        for _ in range(6):
            duel = shown(duels)
            counted = duels.vote(duel.token, "B")
            assert [model.reference for model in counted.ballot.models] == list(order(duel))
            assert counted.ballot.best == contender(order(duel)[1])
            assert counted.receipt["outputs"] == [{"of": name} for name in order(duel)]
            assert counted.receipt["choice"] == "B"
            assert log.ballots()[-1] == counted.ballot
        assert (counted.ballot.input_sha256, counted.ballot.seed) == ("b" * 64, 7)

    @pytest.mark.parametrize("choice", ["tie", "all bad"])
    def test_none_may_be_best(self, log: VoteLog, choice: str) -> None:
        duels = OpenDuels(log)
        assert duels.vote(shown(duels).token, choice).ballot.best is None

    def test_a_token_is_good_for_one_vote(self, log: VoteLog) -> None:
        duels = OpenDuels(log)
        duel = shown(duels)
        duels.vote(duel.token, "A")
        with pytest.raises(InvalidValue, match=r"no open duel.*Start another"):
            duels.vote(duel.token, "A")
        assert len(log.ballots()) == 1

    @pytest.mark.parametrize("token", ["", None, 7, True, ["x"], {}, "x" * 10_000])
    def test_what_is_no_token_is_refused(self, log: VoteLog, token: Any) -> None:
        duels = OpenDuels(log)
        shown(duels)
        with pytest.raises(InvalidValue, match="no open duel") as caught:
            duels.vote(token, "A")
        assert len(str(caught.value)) < 300
        assert log.ballots() == []

    @pytest.mark.parametrize("choice", ["D", "a", "AB", "", None, 0, True, "x" * 10_000])
    def test_a_choice_that_is_none_leaves_the_duel_open(self, log: VoteLog, choice: Any) -> None:
        duels = OpenDuels(log)
        duel = shown(duels)
        with pytest.raises(InvalidValue, match="choose one of: A, B, C, tie, all bad"):
            duels.vote(duel.token, choice)
        assert log.ballots() == []
        duels.vote(duel.token, "C")

    def test_a_vote_that_cannot_be_written_may_be_cast_again(self, tmp_path: Path) -> None:
        path = tmp_path / "votes.sqlite3"
        duels = OpenDuels(VoteLog(path))
        duel = shown(duels)
        path.write_bytes(b"no database" * 100)
        with pytest.raises(LogUnavailable):
            duels.vote(duel.token, "A")
        path.unlink()
        assert duels.vote(duel.token, "A").ballot in duels.log.ballots()

    def test_tokens_cannot_be_guessed_from_a_seed(self, log: VoteLog) -> None:
        duels = [shown(OpenDuels(log, random.Random(1))) for _ in range(2)]
        assert duels[0].token != duels[1].token
        assert len(duels[0].token) >= 32

    def test_the_oldest_duel_is_forgotten_first(self, log: VoteLog) -> None:
        duels = OpenDuels(log, most_open=2)
        first, second, third = (shown(duels) for _ in range(3))
        with pytest.raises(InvalidValue, match="made room"):
            duels.vote(first.token, "A")
        duels.vote(second.token, "A")
        duels.vote(third.token, "A")

    def test_an_old_duel_is_forgotten(self, log: VoteLog) -> None:
        duels = OpenDuels(log, longest_open_seconds=0.0)
        with pytest.raises(InvalidValue, match="older than 0 hours"):
            duels.vote(shown(duels).token, "A")

    @pytest.mark.parametrize("is_voted", [True, False])
    def test_places_are_balanced_by_the_log_and_by_what_is_open(
        self, log: VoteLog, is_voted: bool
    ) -> None:
        duels = OpenDuels(log, random.Random(5))
        stood: Counter[tuple[str, int]] = Counter()
        for _ in range(30):
            duel = shown(duels)
            stood.update((name, place) for place, name in enumerate(order(duel)))
            if is_voted:
                duels.vote(duel.token, "tie")
                duels = OpenDuels(log, random.Random(len(stood)))  # a page started anew
        assert max(stood.values()) - min(stood.values()) <= 3

    def test_other_models_and_tasks_have_a_balance_of_their_own(self, log: VoteLog) -> None:
        duels = OpenDuels(log)
        for request in (DuelRequest("write", ("x", "y")), DuelRequest("paint", ("x", "y", "z"))):
            for _ in range(3):
                duels.vote(shown(duels, request).token, "A")
        assert {order(shown(OpenDuels(log, random.Random(seed)))) for seed in range(40)} == {
            "xyz", "xzy", "yxz", "yzx", "zxy", "zyx",
        }  # fmt: skip

    def test_the_models_run_in_an_order_that_the_visitor_does_not_know(
        self, log: VoteLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        orders = []
        played: Any = vars(open_duels)["generate"]  # the fixture's

        def spied(studio: Studio, request: DuelRequest) -> Generator[Progress, None, Duel]:
            orders.append("".join(request.models))
            duel: Duel = yield from played(studio, request)
            return duel

        monkeypatch.setattr(open_duels, "generate", spied)
        duels = OpenDuels(log, random.Random(1))
        places = [order(shown(duels)) for _ in range(60)]
        assert len(set(orders)) == 6
        assert len(set(zip(orders, places, strict=True))) > 20, "nor do the places follow from it"

    def test_a_seeded_generator_gives_the_same_places(self, log: VoteLog) -> None:
        orders = [
            [order(shown(duels)) for _ in range(8)]
            for duels in (OpenDuels(log, random.Random(2)), OpenDuels(log, random.Random(2)))
        ]
        assert orders[0] == orders[1]
        assert len(set(orders[0])) > 2
