"""Votes as data: what a line of the log must be, and what it is called."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from typing import Any

import pytest

from pipelines.arena.ballot import (
    AdapterUse,
    Contender,
    ballot_of,
    choices,
    contender_of,
    from_lines,
    to_lines,
)
from pipelines.errors import InvalidValue
from tests.arena.ballots import ballot, contender

TUNED = Contender("base", "1" * 40, (AdapterUse("tales", "2" * 40, 0.8),))
VOTE = replace(ballot("xyz", "y"), models=(contender("x"), TUNED, contender("owner/z")))


def test_a_vote_comes_back_from_its_line() -> None:
    votes = [VOTE, ballot("xy", "tie", second=1)]
    text = to_lines(votes)
    assert from_lines(text) == votes
    assert from_lines(f"\n{text}\n \n") == votes, "empty lines say nothing"
    assert [json.loads(line)["choice"] for line in text.splitlines()] == ["B", "tie"]


def test_the_best_is_who_stood_in_the_chosen_place() -> None:
    assert VOTE.best == TUNED
    assert replace(VOTE, choice="tie").best is None
    assert replace(VOTE, choice="all bad").best is None


def test_the_choices_are_the_places_shown_a_tie_and_all_bad() -> None:
    assert choices(3) == ["A", "B", "C", "tie", "all bad"]


def test_a_model_is_called_by_its_composition_and_known_by_its_commits() -> None:
    assert TUNED.name == "base + tales:0.8"
    assert TUNED.key == f"base@{'1' * 40} + tales@{'2' * 40}:0.8"
    weaker = replace(TUNED, adapters=(replace(TUNED.adapters[0], weight=0.5),))
    later = replace(TUNED, adapters=(replace(TUNED.adapters[0], commit="3" * 40),))
    assert len({TUNED.key, weaker.key, later.key, contender("base").key}) == 4


def test_a_receipts_model_is_a_contender() -> None:
    assert contender_of(asdict(TUNED)) == TUNED


BAD_FIELDS: list[tuple[str, Any]] = [
    ("schema", 2), ("schema", True), ("schema", None),
    ("time", "yesterday"), ("time", 7), ("time", None), ("time", "2026-01-31T12:00:00"),
    ("task", "sing"), ("task", None),
    ("input_sha256", "a" * 63), ("input_sha256", "A" * 64), ("input_sha256", 0),
    ("seed", -1), ("seed", None), ("seed", True), ("seed", math.nan), ("seed", 2**63),
    ("models", []), ("models", None), ("models", "xy"),
    ("choice", "D"), ("choice", "AB"), ("choice", ""), ("choice", None), ("choice", "x" * 10_000),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), BAD_FIELDS)
def test_a_field_that_is_not_right_is_named(field: str, value: Any) -> None:
    with pytest.raises(InvalidValue, match=f"^{field} ") as caught:
        ballot_of({**asdict(VOTE), field: value})
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("count", [1, 9])
def test_a_vote_is_between_two_to_eight(count: int) -> None:
    models = [asdict(contender(f"m{index}")) for index in range(count)]
    with pytest.raises(InvalidValue, match="2 to 8"):
        ballot_of({**asdict(VOTE), "models": models, "choice": "A"})


BAD_MODELS: list[tuple[dict[str, Any], str]] = [
    ({"reference": ""}, "reference is ''"),
    ({"reference": 3}, "reference is 3"),
    ({"reference": "x" * 10_000}, "at most 2000 characters"),
    ({"commit": "main"}, "commit is 'main'"),
    ({"commit": None}, "commit is None"),
    ({"adapters": None}, "adapters is None; a list is needed"),
    ({"adapters": [{}]}, "adapters.0.reference is missing"),
    ({"adapters": [7]}, "adapters.0 is 7; named fields are needed"),
    ({"adapters": [{"reference": "a", "commit": "1" * 40, "weight": math.nan}]}, "weight is nan"),
    ({"path": "/home"}, "There is no field path"),
]


@pytest.mark.parametrize(("change", "words"), BAD_MODELS)
def test_a_model_that_is_not_right_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        contender_of({**asdict(TUNED), **change})


def test_a_model_meets_only_others() -> None:
    with pytest.raises(InvalidValue, match="one model twice"):
        ballot_of(asdict(ballot("xx", "x")))


@pytest.mark.parametrize(
    ("line", "words"),
    [("{", "valid JSON"), ("[]", "no vote"), ("7", "no vote"), ("[" * 100_000, "valid JSON")],
)
def test_a_line_that_is_no_vote_is_named_by_its_number(line: str, words: str) -> None:
    with pytest.raises(InvalidValue, match=f"^Line 2 is .*{words}"):
        from_lines(to_lines([VOTE]) + line)
