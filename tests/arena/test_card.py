"""The card of votes: what it says, how it is worked out again, and what is published of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from pipelines.arena.ballot import ALL_BAD, Contender, from_lines
from pipelines.arena.card import ballots_of, card
from pipelines.arena.leaderboard import leaderboard
from pipelines.arena.link import decode
from pipelines.arena.replay import replay
from pipelines.arena.report import index_of, write
from pipelines.arena.setup import Setup
from pipelines.device import processor
from pipelines.errors import InvalidValue
from pipelines.runtime.receipts import hash_text
from pipelines.settings import Limits
from pipelines.sharing.documents import as_json
from pipelines.sharing.replay import Replayed
from tests.arena.ballots import ballot, duels

VOTES = [*duels(40, 5, ties=4), ballot("xz", ALL_BAD)]


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(as_json(card([*VOTES, *duels(3, 3, task="paint")], "write")))
    return found


def told(replayed: Replayed) -> dict[str, bool]:
    return {line.text: line.is_equal for line in replayed.lines}


def test_a_card_says_what_was_voted_and_what_follows(made: dict[str, Any]) -> None:
    board = leaderboard(VOTES, "write")
    assert (made["kind"], made["log"]["votes"], made["log"]["inputs"]) == ("votes", 50, 1)
    assert (made["ties"], made["all_bad"]) == (4, 1)
    assert made["signature"] == board.signature and "ci:profile-likelihood" in board.signature
    first, second, third = made["models"]
    assert (first["reference"], first["commit"]) == ("x", "0" * 40)
    assert (first["duels"], first["best"], first["verdict"]) == (50, 40, "better than y")
    assert board.standings[0].rating is not None
    assert first["rating"]["points"] == board.standings[0].rating.points
    assert second["rating"]["low"] < second["rating"]["points"] < second["rating"]["high"]
    assert third["rating"] is None
    assert made["versions"]["numpy"] and made["device"]["machine"]
    assert made["device"]["hardware"] == processor()
    assert [vote["seed"] for vote in made["ballots"]][:3] == [0, 1, 2]


def test_a_card_has_the_votes_of_its_task_alone(made: dict[str, Any]) -> None:
    assert ballots_of(made) == VOTES


@pytest.mark.parametrize("votes", [[], duels(3, 3, task="paint")])
def test_without_votes_there_is_no_card(votes: list[Any]) -> None:
    with pytest.raises(InvalidValue, match="no votes for this task"):
        card(votes, "write")


def test_a_card_worked_out_again_is_equal_line_by_line(made: dict[str, Any]) -> None:
    again = replay(made)
    assert again.is_equal
    assert json.loads(as_json(again.made)) == made
    texts = list(told(again))
    assert texts[0] == f"votes: the same 50, sha256 {made['log']['sha256']}"
    assert any(text.startswith("version of numpy: ") for text in texts)
    assert any(text.startswith("x: ") and text.endswith("as before") for text in texts)
    assert "z: no rating, as before" in texts
    assert f"signature: {made['signature']}" in texts


def test_a_log_takes_the_place_of_the_card_s_votes(made: dict[str, Any]) -> None:
    assert replay(made, [*VOTES, *duels(9, 1, task="paint")]).is_equal
    found = told(replay(made, [*VOTES[1:], *duels(0, 12)[3:]]))
    assert any("9 are new and 1 are missing against the 50" in text for text in found)
    assert any(text.startswith("x: ") and ", was " in text for text in found)
    assert not found["x: best was 40, is 39"]
    assert any(text.startswith("What differs may be because of the votes and") for text in found)


def test_a_model_that_comes_or_goes_is_named(made: dict[str, Any]) -> None:
    assert not told(replay(made, [*VOTES, ballot("wx", "w")]))["w: not in the card"]
    assert not told(replay(made, VOTES[:-1]))["z: in the card alone"]


def test_ratings_that_do_not_follow_from_the_votes_are_found(made: dict[str, Any]) -> None:
    forged = json.loads(json.dumps(made))
    forged["models"][1]["rating"]["points"] += 200
    found = told(replay(forged))
    assert not found["The same votes give other ratings: the card's ratings were changed."]
    forged["models"][1]["rating"]["points"] = made["models"][1]["rating"]["points"] + 1e-6
    assert replay(forged).is_equal, "rounding is no difference"


def test_votes_that_were_changed_are_found_by_their_hash(made: dict[str, Any]) -> None:
    forged = json.loads(json.dumps(made))
    forged["ballots"][0]["choice"] = "tie"
    found = told(replay(forged))
    assert any(text.startswith("votes: sha256 was") and not ok for text, ok in found.items())


def test_another_version_is_named_as_a_cause(made: dict[str, Any]) -> None:
    forged = json.loads(json.dumps(made))
    forged["versions"]["numpy"] = "1.0"
    forged["models"][0]["rating"]["low"] -= 3
    found = told(replay(forged))
    assert not found["What differs may be because of the version of numpy."]


def test_a_card_from_before_hardware_was_told_is_worked_out_again(made: dict[str, Any]) -> None:
    older = json.loads(json.dumps(made))
    del older["device"]["hardware"]
    assert replay(older).is_equal
    older["device"]["hardware"] = "another"
    assert not told(replay(older))[f"device hardware: was another, is {processor()}"]


DAMAGES: list[dict[str, Any]] = [
    {"task": None}, {"task": "paint"}, {"ballots": None},
    {"ballots": "x" * 10_000}, {"ballots": [7]}, {"ballots": []}, {"log": None}, {"models": None},
    {"models": [{}]}, {"versions": None},
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: str(damage)[:30])
def test_a_damaged_card_is_refused_with_words(made: dict[str, Any], damage: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue) as caught:
        replay(made | damage)
    assert len(str(caught.value)) < 400


def test_files_to_keep_hold_card_reports_figure_and_log(
    made: dict[str, Any], tmp_path: Path
) -> None:
    names = {path.name for path in write(made, tmp_path)}
    assert names == {
        "card.json", "card.md", "report.html", "ratings.png", "votes.jsonl",
        "model-index-1-x.yaml", "model-index-2-y.yaml",
    }  # fmt: skip
    log = (tmp_path / "votes.jsonl").read_text()
    assert from_lines(log) == VOTES
    assert hash_text(log) == made["log"]["sha256"]
    assert json.loads((tmp_path / "card.json").read_text()) == made
    assert Image.open(tmp_path / "ratings.png").width > 400
    markdown, page = (tmp_path / "card.md").read_text(), (tmp_path / "report.html").read_text()
    assert "](ratings.png)" in markdown and page.count("data:image/png") == 1
    for text in (markdown, page):
        assert "50 votes on as many duels between 3 models" in text
        assert "better than y" in text and made["log"]["sha256"] in text
        assert "never won or tied" not in text


def test_a_card_and_its_reports_have_the_link_to_its_models(
    made: dict[str, Any], tmp_path: Path
) -> None:
    assert decode(made["link"].removeprefix("?vote="), Limits()) == Setup("write", ("x", "y", "z"))
    write(made, tmp_path)
    for name in ("card.md", "report.html"):
        assert made["link"] in (tmp_path / name).read_text().replace("\\_", "_")
    older = {name: value for name, value in made.items() if name != "link"}
    write(older, tmp_path)
    assert "page's address" not in (tmp_path / "card.md").read_text()


def test_a_card_of_models_without_names_that_can_be_asked_for_has_no_link() -> None:
    odd = replace(VOTES[0], models=(Contender("/etc/x", "0" * 40), Contender("y", "0" * 40)))
    assert card([odd], "write")["link"] is None


def test_votes_that_rate_nobody_have_no_figure(tmp_path: Path) -> None:
    bad = card([ballot("xz", ALL_BAD)], "write")
    names = {path.name for path in write(bad, tmp_path)}
    assert names == {"card.json", "card.md", "report.html", "votes.jsonl"}


def test_a_rating_that_rests_on_the_prior_says_so(tmp_path: Path) -> None:
    write(card(duels(12, 0), "write"), tmp_path)
    assert "rests on the prior" in (tmp_path / "report.html").read_text()


def test_an_index_section_has_the_rating_with_its_interval(made: dict[str, Any]) -> None:
    (entry,) = yaml.safe_load(index_of(made, "x"))["model-index"]
    (metric,) = entry["results"][0]["metrics"]
    assert metric["value"] == made["models"][0]["rating"]["points"]
    assert "beside y, z, 95% interval" in metric["name"] and "n = 49" in metric["name"]
