"""What a card of votes fills in, and what is said of what it cannot."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipelines.arena.ballot import AdapterUse, Contender
from pipelines.arena.card import card
from pipelines.arena.setup import NO_INPUT, Setup, setup_of, setup_of_duel
from pipelines.errors import StudioError
from pipelines.settings import Limits
from tests.arena.ballots import ballot, duels

LIMITS = Limits()


def test_task_and_models_are_filled_in_best_rated_first_and_the_prompt_is_the_visitor_s() -> None:
    setup = setup_of(card(duels(2, 9, task="paint"), "paint"), LIMITS)
    assert setup.task == "paint"
    assert setup.models == ("y", "x")
    assert setup.notes == (NO_INPUT,)
    assert "no prompts" in NO_INPUT


def test_models_of_the_hub_are_asked_for_at_their_commits() -> None:
    lora = AdapterUse("ada/lora", "c2", 0.5)
    models = (Contender("one", "c0"), Contender("ada/two", "c1", (lora,)))
    vote = replace(ballot("xy", "x"), models=models)
    assert setup_of(card([vote], "write"), LIMITS).models == ("one", "ada/two@c1 + ada/lora@c2:0.5")


def test_more_models_than_a_duel_takes_are_named_and_not_dropped_in_silence() -> None:
    ballots = [ballot(f"a{name}", "a", second=n) for n, name in enumerate("bcdefghij")]
    found = card(ballots, "write")
    setup = setup_of(found, LIMITS)
    rated = [model["name"] for model in found["models"]]
    assert setup.models == tuple(rated[:8])
    assert "10 models" in setup.notes[1]
    assert f"and not {rated[8]}, {rated[9]}." in setup.notes[1]


def test_one_name_at_two_states_is_filled_in_once_and_told() -> None:
    x, y, old = Contender("x", "1" * 40), Contender("y", "2" * 40), Contender("x", "3" * 40)
    votes = [replace(ballot("xy", "x"), models=pair) for pair in ((x, y), (old, y))]
    setup = setup_of(card(votes, "write"), LIMITS)
    assert sorted(setup.models) == ["x", "y"]
    assert "several states" in setup.notes[1]


def test_a_duel_s_receipt_makes_its_fields_in_no_order_of_its_places() -> None:
    def output(reference: str, **request: Any) -> dict[str, Any]:
        model = {"reference": reference, "commit": "c1", "adapters": []}
        return {"task": "write", "model": model, "request": {"seed": 7, **request}}

    written = {"outputs": [output("two", prompt="Once"), output("ada/one", prompt="Once")]}
    assert setup_of_duel(written) == Setup("write", ("ada/one@c1", "two"), "Once", 7)
    assert setup_of_duel({"outputs": [output("two")]}).prompt is None


BAD: list[tuple[dict[str, Any], str]] = [
    ({"task": "sing"}, "task is 'sing'"),
    ({"task": None}, "task is None"),
    ({"models": None}, "not whole"),
    ({"models": [{}]}, "not whole"),
    ({"models": []}, "0 different models"),
    ({"models": [{"reference": "/etc/passwd", "commit": "c", "adapters": []}]}, "model is '/etc"),
    ({"models": [{"reference": "<b>", "commit": "c", "adapters": []}]}, "model is '<b>'"),
]


@pytest.mark.parametrize(("changed", "words"), BAD, ids=str)
def test_a_damaged_card_is_refused_with_words(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(StudioError, match=words):
        setup_of({**card(duels(1, 1), "write"), **changed}, LIMITS)
