"""Everything that came out of an evaluation is held against a card, and told in a line each."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.datasets.samples import read_folder
from pipelines.evaluation.card import card
from pipelines.evaluation.diff import results
from pipelines.evaluation.pipeline import generate
from pipelines.evaluation.request import Describing, EvaluationRequest
from pipelines.runtime.studio import Studio
from pipelines.settings import Settings
from pipelines.sharing.documents import as_json
from tests.running import finished

Card = dict[str, Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, pairs_dir: Path, scenes_dir: Path) -> Card:
    """The card of an evaluation that ran, as it is read from its file."""
    data_dir = tmp_path_factory.mktemp("data")
    studio = Studio(Settings(models_dir=pairs_dir, data_dir=data_dir, hub_enabled=False))
    request = EvaluationRequest(
        "describe", read_folder(scenes_dir), ("emoji-captioner", "other-captioner"),
        ("rouge_l", "bleu"), 9, 0, Describing(max_new_tokens=6),
    )  # fmt: skip
    found: Card = json.loads(as_json(card(finished(generate, studio, request))))
    assert found["differing"]["samples"] and found["comparisons"][0]["difference"] is not None
    return found


def told(old: Card, new: Card) -> dict[str, bool]:
    return {line.text: line.is_equal for line in results(old, new)}


def test_what_came_out_the_same_is_told_in_short_lines(made: Card) -> None:
    lines = told(made, copy.deepcopy(made))

    assert all(lines.values())
    texts = list(lines)
    assert texts[0] == "emoji-captioner: 9 of 9 outputs are equal"
    assert len(texts) == 2 * (1 + 2) + 2 + 1 + 1, "outputs, scores, tests, samples, verdict"
    score = made["models"][1]["scores"]["rouge_l"]
    value, low, high = (f"{score[name]:.4g}" for name in ("value", "low", "high"))
    assert f"other-captioner: ROUGE-L {value} ({low} to {high}), n = 9" in "".join(texts)
    tests = [text for text in texts if text.startswith("other-captioner against emoji-captioner:")]
    assert [text.endswith(", as before") for text in tests] == [True, True]
    assert all(len(text) < 80 for text in tests)
    count = len(made["differing"]["samples"])
    by = made["differing"]["by"]
    assert texts[-2:] == [
        f"samples that differ most, by {by}: the same {count}, as before", "verdict: as before",
    ]  # fmt: skip


def changed(made: Card, change: Callable[[Card], Any]) -> list[str]:
    """The lines that differ once a card is changed, the same from either side."""
    other = copy.deepcopy(made)
    change(other)
    found = [text for text, is_equal in told(other, made).items() if not is_equal]
    turned = [text for text, is_equal in told(made, other).items() if not is_equal]
    assert len(found) == len(turned)
    return found


def score(card: Card) -> Card:
    found: Card = card["models"][0]["scores"]["rouge_l"]
    return found


@pytest.mark.parametrize("name", ["value", "low", "high"])
def test_a_score_and_each_end_of_its_interval_count(made: Card, name: str) -> None:
    (line,) = changed(made, lambda card: score(card).update({name: -0.5}))
    assert line.startswith("emoji-captioner: ROUGE-L ")
    assert "; was " in line and "-0.5" in line.partition("; was ")[2]


def test_a_small_difference_is_told_with_the_digits_that_show_it(made: Card) -> None:
    before = score(made)["value"]
    (line,) = changed(made, lambda card: score(card).update(value=before + 1e-12))
    assert f"{before + 1e-12:.17g}" in line and f"{before:.17g}" in line
    (line,) = changed(made, lambda card: score(card).update(value=9.87654321))
    assert "was 9.877 (" in line


def test_warnings_samples_and_reasons_count(made: Card) -> None:
    (line,) = changed(made, lambda card: score(card).update(warning="6 samples; give more."))
    assert line.endswith("n = 9, not to be compared: 6 samples; give more.")
    (line,) = changed(made, lambda card: score(card).update(samples=5))
    assert line.endswith("n = 5")

    def unscore(card: Card) -> None:
        del card["models"][0]["scores"]["rouge_l"]
        card["models"][0]["unscored"]["rouge_l"] = "No words."

    (line,) = changed(made, unscore)
    assert line.endswith("; was not scored: No words.")
    unscored = copy.deepcopy(made)
    unscore(unscored)
    assert "emoji-captioner: ROUGE-L not scored: No words., as before" in told(unscored, unscored)


def test_each_sample_s_own_value_counts(made: Card) -> None:
    (line,) = changed(made, lambda card: card["models"][1]["values"]["rouge_l"].__setitem__(3, 7))
    assert line.startswith("other-captioner: ROUGE-L ")
    assert line.endswith("as before; 1 of 9 samples have another value")


@pytest.mark.parametrize(
    "name", ["difference", "low", "high", "bootstrap_p", "randomisation_p", "corrected_p"]
)
def test_every_number_of_a_test_counts(made: Card, name: str) -> None:
    (line,) = changed(made, lambda card: card["comparisons"][1].update({name: 0.123456}))
    assert line.startswith("other-captioner against emoji-captioner: BLEU ")
    assert "0.1235" in line.partition("; was ")[2]
    assert "(bootstrap, randomisation, Holm)" in line


def test_what_a_test_shows_and_why_there_is_none_count(made: Card) -> None:
    def turn(card: Card) -> None:
        card["comparisons"][0].update(is_shown=True, difference=2.0)

    (line,) = changed(made, turn)
    assert "; was better: 2 (" in line
    why = {"is_shown": None, "why_not": "No words."}
    (line,) = changed(made, lambda card: card["comparisons"][0].update(why, difference=None))
    assert line.endswith("; was not tested: No words.")


def test_samples_that_differ_most_count_in_their_order_with_all_they_show(made: Card) -> None:
    first, *rest = (each["name"] for each in made["differing"]["samples"])
    by = made["differing"]["by"]

    (line,) = changed(made, lambda card: card["differing"]["samples"].reverse())
    assert line.startswith(f"samples that differ most, by {by}: {first}, {rest[0]}")
    assert line.endswith(f", {first}")
    (line,) = changed(made, lambda card: card["differing"]["samples"][0].update(values=[0, 9]))
    assert line.endswith(f"the same {1 + len(rest)}; other values or outputs in {first}")
    (line,) = changed(made, lambda card: card["differing"].update(samples=[]))
    assert line.endswith("; were none")
    (line,) = changed(made, lambda card: card["differing"].update(by="luck"))
    assert f"by {by}, were by luck: the same" in line


def test_a_verdict_that_does_not_follow_is_found(made: Card) -> None:
    (line,) = changed(made, lambda card: card.update(verdict="Mine is\nbest."))
    assert line == f"verdict: {made['verdict']} Was: Mine is best."


def test_names_with_the_commits_that_a_replay_asks_for_are_no_difference(made: Card) -> None:
    old = copy.deepcopy(made)
    text = json.dumps(old).replace("emoji-captioner", "ada/x").replace(
        "other-captioner", "ada/x + ada/lora"
    )  # fmt: skip
    new = text.replace("ada/x", "ada/x@c1")
    assert all(told(json.loads(text), json.loads(new)).values())


def test_costs_do_not_count(made: Card) -> None:
    assert changed(made, lambda card: card["models"][0]["costs"].update(load_seconds=99)) == []
