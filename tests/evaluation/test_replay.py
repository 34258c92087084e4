"""Replays: computed anew, compared line by line, with what a difference may come of."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from pipelines.datasets.samples import DataSet
from pipelines.errors import InvalidValue
from pipelines.evaluation.card import card
from pipelines.evaluation.pipeline import generate
from pipelines.evaluation.replay import compared, replay
from pipelines.evaluation.request import Describing, EvaluationRequest
from pipelines.evaluation.store import FILE
from pipelines.events import with_result
from pipelines.runtime.studio import Studio
from pipelines.sharing.replay import Replayed
from tests import tiny_models
from tests.running import finished

MODELS = ("emoji-captioner", "other-captioner")


def evaluated(studio: Studio, scenes: DataSet) -> dict[str, Any]:
    request = EvaluationRequest(
        "describe", scenes, MODELS, ("bleu",), 9, 0, Describing(max_new_tokens=6)
    )
    return card(finished(generate, studio, request))


def replayed(studio: Studio, old: dict[str, Any], scenes: DataSet) -> Replayed:
    *_, result = with_result(replay(studio, old, scenes))
    assert isinstance(result, Replayed)
    return result


def test_the_same_machine_gives_the_same_and_computes_it_anew(
    studio: Studio, scenes: DataSet
) -> None:
    old = evaluated(studio, scenes)
    (studio.settings.data_dir / FILE).unlink()
    again = replayed(studio, old, scenes)

    assert again.is_equal
    assert "emoji-captioner: 9 of 9 outputs are equal" in [line.text for line in again.lines]
    assert "emoji-captioner: the same files" in [line.text for line in again.lines]
    assert "samples: the same 9" in [line.text for line in again.lines]
    assert "not compared" in again.not_compared
    assert not (studio.settings.data_dir / FILE).exists(), "kept samples are not looked up"


def test_another_checkpoint_is_named_as_the_cause(
    studio: Studio, scenes: DataSet, tmp_path: Path
) -> None:
    old = evaluated(studio, scenes)
    copytree(studio.settings.models_dir, tmp_path / "models")
    tiny_models.make_captioner(tmp_path / "models" / "other-captioner", seed=5)
    elsewhere = Studio(replace(studio.settings, models_dir=tmp_path / "models"))
    again = replayed(elsewhere, old, scenes)
    told = {line.text: line.is_equal for line in again.lines}

    assert not again.is_equal
    assert told["emoji-captioner: 9 of 9 outputs are equal"]
    assert any(text.startswith("other-captioner: files were") for text in told)
    assert again.lines[-1].text == ("What differs may be because of the files of other-captioner.")


def test_versions_are_causes_only_where_something_came_of_them(
    studio: Studio, scenes: DataSet
) -> None:
    old = evaluated(studio, scenes)
    new = copy.deepcopy(old)
    new["versions"]["torch"], new["device"]["kind"] = "99", "cuda"
    lines = compared(old, new)
    assert "because" not in lines[-1].text
    assert f"version of torch: was {old['versions']['torch']}, is 99" in [x.text for x in lines]

    new["models"][0]["outputs"][2] = "0" * 16
    new["models"][0]["scores"]["bleu"]["value"] = 1.5
    lines = compared(old, new)
    texts = [line.text for line in lines]
    assert "emoji-captioner: 8 of 9 outputs are equal" in texts
    assert any(text.startswith("emoji-captioner: BLEU 1.5 (") for text in texts)
    assert lines[-1].text == "What differs may be because of the version of torch and device kind."
    new["versions"], new["device"] = old["versions"], old["device"]
    assert "Nothing else" in compared(old, new)[-1].text
    for model in new["models"]:
        model["scores"]["bleu"]["signature"] = "BLEU|else"
    lines = compared(old, new)
    assert lines[-1].text == "What differs may be because of the signature of BLEU."
    told = [line.text for line in lines if line.text.endswith(", is BLEU|else")]
    assert [text.partition(":")[0] for text in told] == [m["name"] for m in new["models"]]


def test_another_machine_is_told_and_an_older_card_knows_of_none(
    studio: Studio, scenes: DataSet
) -> None:
    old = evaluated(studio, scenes)
    new = copy.deepcopy(old)
    new["device"]["hardware"] = "another"
    (told,) = [line for line in compared(old, new) if not line.is_equal]
    assert told.text == f"device hardware: was {old['device']['hardware']}, is another"
    new["models"][0]["outputs"][0] = "0" * 16
    assert compared(old, new)[-1].text == "What differs may be because of the device hardware."
    new["samples"][0] = "another"
    texts = [line.text for line in compared(old, new)]
    assert "samples: 8 of 9 are among the 9 of the card" in texts
    assert texts[-1].endswith("because of the samples and device hardware.")
    new["comparisons"][0]["signature"] = "paired|else"
    texts = [line.text for line in compared(old, new)]
    assert any(text.startswith("signature of the tests was paired|bootstrap") for text in texts)
    assert texts[-1].endswith("because of the samples, device hardware and signature of the tests.")

    del old["device"]["hardware"]
    assert replayed(studio, old, scenes).is_equal


@pytest.mark.parametrize(
    "changed", [{"models": None}, {"models": [{}]}, {"versions": 1}, {"models": [1, 2]}], ids=str
)
def test_a_damaged_card_is_told(studio: Studio, scenes: DataSet, changed: Any) -> None:
    with pytest.raises(InvalidValue):
        replayed(studio, {**evaluated(studio, scenes), **changed}, scenes)
