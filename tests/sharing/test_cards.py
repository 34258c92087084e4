"""Any card is read by its kind and run again, from the command line too."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from pipelines.arena.ballot import to_lines
from pipelines.arena.card import card
from pipelines.arena.log import VoteLog
from pipelines.datasets.samples import embedded
from pipelines.errors import InvalidValue
from pipelines.model_comparison.__main__ import main
from pipelines.model_comparison.published import as_json
from pipelines.runtime.events import with_result
from pipelines.runtime.studio import Studio
from pipelines.sharing import cards
from pipelines.sharing.cards import Sources, read, read_votes
from tests.arena.ballots import duels

VOTES = duels(14, 6, ties=2)


def test_each_kind_is_run_by_its_own(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    def fake(name: str) -> Any:
        def run(studio: Studio, old: Any, source: Any) -> Generator[Any, None, Any]:
            yield "at work"
            return name, source

        return run

    monkeypatch.setattr(cards, "replay_comparison", fake("comparison"))
    monkeypatch.setattr(cards, "replay_evaluation", fake("evaluation"))
    sources = Sources(lambda name: f"data of {name}", picture="a picture")  # type: ignore[arg-type, return-value]
    compared = list(with_result(cards.replay(studio, {"kind": "comparison"}, sources)))
    evaluation = {"kind": "evaluation", "data": {"name": "scenes"}}
    evaluated = list(with_result(cards.replay(studio, evaluation, sources)))
    (voted,) = with_result(cards.replay(studio, card(VOTES, "write"), sources))
    assert compared == ["at work", ("comparison", "a picture")]
    assert evaluated == ["at work", ("evaluation", "data of scenes")]
    assert voted.is_equal


@pytest.mark.parametrize("data", [None, 7, {}, {"name": "/etc/passwd"}, {"name": ["x"]}])
def test_a_data_set_that_a_card_makes_up_is_refused(studio: Studio, data: Any) -> None:
    with pytest.raises(InvalidValue):
        list(cards.replay(studio, {"kind": "evaluation", "data": data}, Sources(embedded)))


@pytest.mark.parametrize(
    "text",
    ["", "no", "[]", "{}", '{"kind": 7, "schema": 1}', '{"kind": ["votes"], "schema": 1}',
     '{"kind": "votes"}', '{"kind": "votes", "schema": true}', '{"kind": "song", "schema": 1}',
     '{"schema": 1, "task": "write"}'],
)  # fmt: skip
def test_what_is_no_card_is_refused_with_words(text: str) -> None:
    with pytest.raises(InvalidValue, match="card"):
        read(text)


def test_a_named_data_set_is_found_by_its_name_and_no_file_is_read(
    studio: Studio, tmp_path: Path
) -> None:
    scenes = embedded("emoji-scenes")
    old = {"data": {"name": "emoji-scenes", "sha256": scenes.sha256}}
    read = cards.data_of(old, tmp_path / "none.txt", studio.settings, lambda progress: None)
    assert read is scenes
    other = {"data": {"name": "emoji-scenes", "sha256": "0" * 64}}
    with pytest.raises(InvalidValue, match=r"has another hash.*upload it"):
        cards.data_of(other, None, studio.settings, lambda progress: None)
    with pytest.raises(InvalidValue, match="not whole"):
        cards.data_of({"data": None}, None, studio.settings, lambda progress: None)


def test_votes_come_from_lines_or_from_the_log(tmp_path: Path) -> None:
    (tmp_path / "votes.jsonl").write_text(to_lines(VOTES))
    log = VoteLog(tmp_path / "votes.sqlite3")
    for vote in VOTES[:3]:
        log.append(vote)
    assert read_votes(tmp_path / "votes.jsonl") == VOTES
    assert read_votes(tmp_path / "votes.sqlite3") == VOTES[:3]
    with pytest.raises(InvalidValue, match=r"no file 'none\.jsonl'"):
        read_votes(tmp_path / "none.jsonl")
    (tmp_path / "bad.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidValue, match="not UTF-8"):
        read_votes(tmp_path / "bad.jsonl")


def test_the_command_line_works_out_a_card_of_votes_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, log = tmp_path / "card.json", tmp_path / "votes.jsonl"
    path.write_text(as_json(card(VOTES, "write")))
    log.write_text(to_lines(VOTES[1:]))
    places = ["--data-dir", str(tmp_path / "data"), "--no-hub"]
    assert main(["replay", str(path), "--output", str(tmp_path / "out"), *places]) == 0
    told = capsys.readouterr().out
    assert "equal    votes: the same 22" in told and "differs" not in told
    assert json.loads((tmp_path / "out" / "card.json").read_text()) == json.loads(path.read_text())
    assert main(["replay", str(path), "--data", str(log), *places]) == 1
    assert "0 are new and 1 are missing" in capsys.readouterr().out
    assert main(["replay", str(path), "--data", str(tmp_path / "none"), *places]) == 2
    assert "no file 'none'" in capsys.readouterr().err
