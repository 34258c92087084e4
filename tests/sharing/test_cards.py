"""Any card is read by its kind and run again, from the command line too."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import pytest

from pipelines.arena.ballot import to_lines
from pipelines.arena.card import card
from pipelines.arena.log import VoteLog
from pipelines.arena.replay import VOTES, read_votes
from pipelines.datasets.samples import embedded
from pipelines.errors import InvalidValue
from pipelines.evaluation.replay import EVALUATION, data_of
from pipelines.events import with_result
from pipelines.model_comparison.__main__ import main
from pipelines.model_comparison.replay import COMPARISON
from pipelines.runtime.studio import Studio
from pipelines.sharing.cards import Sources, kind_of, read_card
from pipelines.sharing.documents import as_json
from tests.arena.ballots import duels

KINDS = (COMPARISON, EVALUATION, VOTES)
VOTED = duels(14, 6, ties=2)


def test_each_kind_is_run_by_its_own_with_what_its_cards_do_not_hold(studio: Studio) -> None:
    def fake(studio: Studio, old: Any, sources: Sources) -> Generator[Any, None, Any]:
        yield "at work"
        return old["kind"], sources

    kinds = [changed(kind, replay=fake) for kind in KINDS]
    sources = Sources(data="scenes.zip")
    for kind in kinds:
        old = {"kind": kind.name, "schema": kind.schema}
        events = list(with_result(kind_of(old, kinds).replay(studio, old, sources)))
        assert events == ["at work", (kind.name, sources)]
    *_, voted = with_result(
        kind_of(card(VOTED, "write"), KINDS).replay(studio, card(VOTED, "write"), Sources())
    )
    assert voted.is_equal


@pytest.mark.parametrize("data", [None, 7, {}, {"name": "/etc/passwd"}, {"name": ["x"]}])
def test_a_data_set_that_a_card_makes_up_is_refused(studio: Studio, data: Any) -> None:
    old = {"kind": "evaluation", "schema": 1, "data": data}
    for is_owner in (False, True):
        with pytest.raises(InvalidValue):
            list(EVALUATION.replay(studio, old, Sources(is_owner=is_owner)))


@pytest.mark.parametrize(
    "text",
    ["", "no", "[]", "{}", '{"kind": 7, "schema": 1}', '{"kind": ["votes"], "schema": 1}',
     '{"kind": "votes"}', '{"kind": "votes", "schema": true}', '{"kind": "song", "schema": 1}',
     '{"schema": 1, "task": "write"}'],
)  # fmt: skip
def test_what_is_no_card_is_refused_with_words(text: str, tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text(text)
    with pytest.raises(InvalidValue, match="card"):
        read_card(path, VOTES, KINDS)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 9_000, b"7"])
def test_a_file_that_is_no_card_is_refused_with_words(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "card.json"
    path.write_bytes(content)
    with pytest.raises(InvalidValue, match="card"):
        read_card(path, VOTES, KINDS)


def test_a_card_of_another_kind_is_refused_with_the_panel_that_opens_it(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    panels = {"comparison": "Side by side", "evaluation": "On a data set", "votes": "Blind votes"}
    for kind in KINDS:
        found = {"schema": 1, "kind": kind.name, "task": "write"}
        path.write_text(json.dumps(found))
        assert read_card(path, kind, KINDS) == found
        for other in {*KINDS} - {kind}:
            words = rf"kind {kind.name}, .*kind {other.name} .*in Compare, {panels[kind.name]}\."
            with pytest.raises(InvalidValue, match=words):
                read_card(path, other, KINDS)


def test_a_named_data_set_is_found_by_its_name_and_no_file_is_read(
    studio: Studio, tmp_path: Path
) -> None:
    scenes = embedded("emoji-scenes")
    old = {"data": {"name": "emoji-scenes", "sha256": scenes.sha256}}
    upload = Sources(data=str(tmp_path / "none.txt"))
    assert data_of(old, upload, studio.settings) is scenes
    other = {"data": {"name": "emoji-scenes", "sha256": "0" * 64}}
    with pytest.raises(InvalidValue, match=r"has another hash.*upload it"):
        data_of(other, Sources(), studio.settings)
    with pytest.raises(InvalidValue, match="not whole"):
        data_of({"data": None}, Sources(), studio.settings)


def test_votes_come_from_lines_or_from_the_log(tmp_path: Path) -> None:
    (tmp_path / "votes.jsonl").write_text(to_lines(VOTED))
    log = VoteLog(tmp_path / "votes.sqlite3")
    for vote in VOTED[:3]:
        log.append(vote)
    assert read_votes(tmp_path / "votes.jsonl") == VOTED
    assert read_votes(tmp_path / "votes.sqlite3") == VOTED[:3]
    with pytest.raises(InvalidValue, match=r"no file 'none\.jsonl'"):
        read_votes(tmp_path / "none.jsonl")
    (tmp_path / "bad.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidValue, match="not UTF-8"):
        read_votes(tmp_path / "bad.jsonl")


def test_the_command_line_works_out_a_card_of_votes_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, log = tmp_path / "card.json", tmp_path / "votes.jsonl"
    path.write_text(as_json(card(VOTED, "write")))
    log.write_text(to_lines(VOTED[1:]))
    places = ["--data-dir", str(tmp_path / "data"), "--no-hub"]
    assert main(["replay", str(path), "--output", str(tmp_path / "out"), *places]) == 0
    told = capsys.readouterr().out
    assert "equal    votes: the same 22" in told and "differs" not in told
    assert json.loads((tmp_path / "out" / "card.json").read_text()) == json.loads(path.read_text())
    assert main(["replay", str(path), "--data", str(log), *places]) == 1
    assert "0 are new and 1 are missing" in capsys.readouterr().out
    assert main(["replay", str(path), "--data", str(tmp_path / "none"), *places]) == 2
    assert "no file 'none'" in capsys.readouterr().err
