"""Requests: every field is checked, and the message says what to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipelines.datasets.samples import DataSet, from_texts
from pipelines.errors import InvalidValue
from pipelines.evaluation.request import (
    Describing,
    EvaluationRequest,
    Painting,
    Writing,
    checked,
    settings_from,
    stored_settings,
)
from pipelines.evaluation.scores import METRICS, metrics_of
from pipelines.settings import Limits
from pipelines.tasks import TASKS

LIMITS = Limits()
MODELS = ("one", "two")


def test_what_is_left_out_is_filled_in(scenes: DataSet) -> None:
    request = checked(EvaluationRequest("describe", scenes, (" one ", "two")), LIMITS)

    assert request.models == MODELS
    assert request.metrics == metrics_of("describe", defaults_only=True)
    assert request.settings == Describing()


def test_a_task_has_its_metrics_and_some_of_them_by_default() -> None:
    assert {name for task in TASKS for name in metrics_of(task)} == set(METRICS)
    assert metrics_of("write", defaults_only=True) == ("bits_per_byte", "perplexity")
    assert metrics_of("describe", defaults_only=True) == (
        "cider", "bleu", "rouge_l", "exact_match",
    )  # fmt: skip
    assert metrics_of("paint") == (
        "kid", "fid", "clip_score", "recall_text_to_picture", "recall_picture_to_text",
        "diversity", "round_trip_cider", "round_trip_rouge_l", "round_trip_exact",
    )  # fmt: skip
    assert metrics_of("paint", defaults_only=True) == ("kid", "clip_score", "diversity")


def test_samples_that_were_stored_before_a_setting_existed_are_found(scenes: DataSet) -> None:
    """Their keys name the settings of then."""
    request = checked(EvaluationRequest("describe", scenes, MODELS), LIMITS)
    then = {"max_new_tokens": 32, "temperature": 0.7, "method": "beams"}
    assert stored_settings(request) == then
    guarded = replace(request, settings=Describing(repetition_penalty=2.0))
    assert stored_settings(guarded) == then | {"repetition_penalty": 2.0}
    painted = EvaluationRequest("paint", scenes, MODELS, settings=Painting(steps=None))
    assert stored_settings(painted) == {"steps": None, "guidance_scale": 4.0, "scheduler": "DDIM"}


LONG = "x" * 10_000


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("task", "sing", "write, paint, describe"),
        ("task", None, "write, paint, describe"),
        ("data", "emoji-scenes", "data set"),
        ("models", (), "0 models"),
        ("models", tuple(f"m{i}" for i in range(9)), "9 models"),
        ("models", "one", "list"),
        ("models", ("one", None), "None"),
        ("models", ("one", True), "True"),
        ("models", ("one", LONG), "name"),
        ("models", ("one", " one "), "twice"),
        ("metrics", ("kid",), "cider"),
        ("metrics", None, "list"),
        ("metrics", (1,), "metrics"),
        ("sample_size", 1, "from 2"),
        ("sample_size", 2_001, "2000"),
        ("sample_size", True, "sample_size"),
        ("sample_size", float("nan"), "sample_size"),
        ("seed", -1, "seed"),
        ("seed", None, "seed"),
        ("settings", Painting(), "Describing"),
        ("settings", "fast", "Describing"),
        ("settings", Describing(method="luck"), "beams"),
        ("settings", Describing(temperature=float("nan")), "temperature"),
        ("settings", Describing(max_new_tokens=1_000), "max_new_tokens"),
    ],
)
def test_a_faulty_field_is_named(scenes: DataSet, field: str, value: Any, words: str) -> None:
    fields = {**vars(EvaluationRequest("describe", scenes, MODELS)), field: value}

    with pytest.raises(InvalidValue, match=words) as caught:
        checked(EvaluationRequest(**fields), LIMITS)
    assert len(str(caught.value)) < 400


def test_one_model_alone_can_be_measured(scenes: DataSet) -> None:
    alone = EvaluationRequest("describe", scenes, ("one",))

    assert checked(alone, LIMITS).models == ("one",)
    for models in ((), tuple(f"m{i}" for i in range(9))):
        told = f"are {len(models)} models; choose one .* or up to 8"
        with pytest.raises(InvalidValue, match=told):
            checked(replace(alone, models=models), LIMITS)


@pytest.mark.parametrize(
    ("task", "settings", "words"),
    [
        ("paint", Painting(steps=1_000), "steps"),
        ("paint", Painting(steps=0), "steps"),
        ("paint", Painting(guidance_scale=-2), "guidance_scale"),
        ("paint", Painting(scheduler="best"), "DDIM"),
        ("write", Writing(context=1), "context"),
        ("write", Writing(max_new_tokens=0), "max_new_tokens"),
        ("write", Writing(top_p=2), "top_p"),
        ("write", Writing(top_k=-1), "top_k"),
    ],
)
def test_a_faulty_setting_is_named(scenes: DataSet, task: Any, settings: Any, words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        checked(EvaluationRequest(task, scenes, MODELS, settings=settings), LIMITS)


def test_painters_may_go_their_own_way(scenes: DataSet) -> None:
    own = Painting(steps=None, guidance_scale=None)
    for settings in (own, Painting(steps=-1, guidance_scale=-1)):
        asked = EvaluationRequest("paint", scenes, MODELS, settings=settings)
        assert checked(asked, LIMITS).settings == own


def test_texts_alone_do_for_some_metrics() -> None:
    texts = from_texts("t", b"one\ntwo", LIMITS)
    paint = EvaluationRequest("paint", texts, MODELS, ("diversity",))

    assert checked(paint, LIMITS).metrics == ("diversity",)
    with pytest.raises(InvalidValue, match="kid needs pictures"):
        checked(replace(paint, metrics=("diversity", "kid")), LIMITS)
    with pytest.raises(InvalidValue, match="to describe needs pictures"):
        checked(EvaluationRequest("describe", texts, MODELS), LIMITS)


def test_clip_scores_are_of_the_embedded_clip_unless_another_is_named(scenes: DataSet) -> None:
    cases = (("paint", "clip_score", "kid"), ("describe", "caption_clip_score", "bleu"))
    for task, metric, other in cases:
        asked = EvaluationRequest(task, scenes, MODELS, (metric,))  # type: ignore[arg-type]
        assert checked(asked, LIMITS).clip == "emoji-clip"
        assert checked(replace(asked, clip="another"), LIMITS).clip == "another"
        assert checked(replace(asked, metrics=(other,)), LIMITS).clip is None


def test_pictures_are_looked_at_by_the_embedded_extractor_unless_another_is_named(
    scenes: DataSet,
) -> None:
    asked = EvaluationRequest("paint", scenes, MODELS)
    for metric in ("kid", "fid", "diversity"):
        assert checked(replace(asked, metrics=(metric,)), LIMITS).extractor == "emoji-captioner"
    other = replace(asked, extractor="InceptionV3-2015-12-05")
    assert checked(other, LIMITS).extractor == "InceptionV3-2015-12-05"
    for unused in (asked, other):
        assert checked(replace(unused, metrics=("clip_score",)), LIMITS).extractor is None
    needing = {name for name, metric in METRICS.items() if "features" in metric.needs}
    assert needing == {"kid", "fid", "diversity"}
    for wrong in ("inception", "../x", "", True, float("nan"), LONG):
        with pytest.raises(InvalidValue, match="emoji-captioner, InceptionV3-2015-12-05") as caught:
            checked(replace(asked, extractor=wrong), LIMITS)  # type: ignore[arg-type]
        assert len(str(caught.value)) < 400


def test_settings_come_from_plain_fields() -> None:
    assert settings_from("paint", {"steps": 3}) == Painting(steps=3)
    with pytest.raises(InvalidValue, match=r"'steps'.*temperature"):
        settings_from("write", {"steps": 3})
