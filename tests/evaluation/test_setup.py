"""What a card of an evaluation fills in, and what is said of the rest."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest

from pipelines.datasets.samples import embedded
from pipelines.errors import InvalidValue, StudioError
from pipelines.evaluation.request import (
    SETTINGS,
    Describing,
    EvaluationRequest,
    Generation,
    Painting,
    Writing,
    checked,
)
from pipelines.evaluation.scores import metrics_of
from pipelines.evaluation.setup import UPLOAD, setup_of
from pipelines.settings import Limits
from pipelines.tasks import TASKS

LIMITS = Limits()
SCENES = "emoji-scenes"
LORA = {"reference": "ada/lora", "commit": "c2", "weight": 0.5}


def card_of(settings: Generation | None = None, **asked: Any) -> dict[str, Any]:
    """As much of a card as is read of one; ``asked`` replaces parts of its request."""
    settings = settings or Describing(9, 0.3, "sampling")
    (task,) = (name for name, kind in SETTINGS.items() if isinstance(settings, kind))
    request = {
        "models": ["one", "ada/two"],
        "metrics": list(metrics_of(task, defaults_only=True)),
        "sample_size": 12,
        "seed": 7,
        "settings": asdict(settings),
        "clip": None,
        "extractor": None,
    }
    return {
        "schema": 1,
        "kind": "evaluation",
        "task": task,
        "data": {"name": SCENES, "sha256": embedded(SCENES).sha256},
        "request": request | asked,
        "models": [
            {"name": "one", "reference": "one", "commit": "c0", "adapters": []},
            {"name": "ada/two", "reference": "ada/two", "commit": "c1", "adapters": [LORA]},
        ],
    }


def test_a_card_fills_every_field_in_with_models_at_their_commits() -> None:
    metrics = ["caption_clip_score", "cider"]
    setup = setup_of(card_of(metrics=metrics, clip="other-clip"), LIMITS)
    request = setup.request

    assert (request.task, setup.data, setup.notes) == ("describe", SCENES, ())
    assert request.models == ("one", "ada/two@c1 + ada/lora@c2:0.5")
    assert request.metrics == tuple(metrics)
    assert (request.sample_size, request.seed) == (12, 7)
    assert request.settings == Describing(9, 0.3, "sampling")
    assert request.clip == "other-clip"
    inception = "InceptionV3-2015-12-05"
    assert setup_of(card_of(Painting(), extractor=inception), LIMITS).request.extractor == inception


@pytest.mark.parametrize("name", ["ada/tales@0123abc", "ada/tales/night@main"])
def test_a_data_set_of_the_hub_is_named_at_its_commit(name: str) -> None:
    setup = setup_of({**card_of(), "data": {"name": name, "sha256": "0" * 64}}, LIMITS)
    assert (setup.data, setup.notes) == (name, ())


@pytest.mark.parametrize("name", ["mine", SCENES, "/etc/passwd"])
def test_of_an_upload_the_file_s_name_and_hash_are_told(name: str) -> None:
    setup = setup_of({**card_of(), "data": {"name": name, "sha256": "ab" * 32}}, LIMITS)
    assert setup.data == UPLOAD
    (note,) = setup.notes
    assert f"{name!r}" in note and "abababababababab" in note and "upload it" in note
    assert ("this page's own" in note) == (name == SCENES)
    assert setup.request.seed == 7, "the rest is filled in all the same"


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (Writing(context=512, temperature=0.1, top_p=0.5), ["context is 512", "top_p is 0.5"]),
        (Writing(top_k=3), ["top_k is 3"]),
        (Painting(5, 2.0, "Euler"), ["scheduler is 'Euler'"]),
        (Painting(None, None), []),
        (Painting(5, 2.0), []),
    ],
)
def test_what_the_page_has_no_field_for_is_told_and_not_kept(
    settings: Generation, names: list[str]
) -> None:
    setup = setup_of(card_of(settings), LIMITS)
    assert setup.request.settings is not None
    assert len(setup.notes) == len(names)
    for note, name in zip(setup.notes, names, strict=True):
        assert note.startswith(f"{name}, and the page has no field for it")
    usual = asdict(type(settings)())
    kept = {n: v for n, v in asdict(settings).items() if n in TASKS[setup.request.task].evaluated}
    assert asdict(setup.request.settings) == usual | kept


def test_a_card_from_before_a_field_existed_means_its_default() -> None:
    old = card_of()
    old["request"]["settings"] = {"method": "sampling"}
    for name in ("clip", "extractor", "metrics", "sample_size", "seed"):
        del old["request"][name]
    request = setup_of(old, LIMITS).request
    assert request == checked(
        EvaluationRequest("describe", request.data, request.models,
                          settings=Describing(method="sampling")), LIMITS
    )  # fmt: skip


def test_a_card_of_one_model_is_opened_as_any_other() -> None:
    setup = setup_of({**card_of(), "models": card_of()["models"][:1]}, LIMITS)
    assert setup.request.models == ("one",)
    assert setup.notes == ()


BAD: list[tuple[dict[str, Any], str]] = [
    ({"task": "sing"}, "not whole"),
    ({"task": None}, "not whole"),
    ({"data": None}, "not whole"),
    ({"data": {"name": 7, "sha256": ""}}, "data is 7"),
    ({"data": {"name": "x" * 10_000, "sha256": ""}}, "10,000 characters"),
    ({"data": {"name": "x", "sha256": None}}, "sha256 is None"),
    ({"request": {}}, "The card's request has no field models"),
    ({"request": card_of(shots=5)["request"]}, "unknown field 'shots'"),
    ({"request": card_of()["request"] | {"settings": {"luck": 1}}}, "no setting 'luck'"),
    ({"models": None}, "not whole"),
    ({"models": [{"reference": "one"}]}, "not whole"),
    ({"models": []}, "0 models"),
    ({"models": [{"reference": name, "commit": "c", "adapters": []}
                 for name in ("one", "/etc/passwd")]}, "model is '/etc/passwd"),
    ({"models": [{"reference": name, "commit": "c", "adapters": []}
                 for name in ("one", "<img src=x>")]}, "model is '<img"),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "words"), BAD, ids=lambda value: str(value)[:40])
def test_a_damaged_card_is_refused_with_words(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(StudioError, match=words) as caught:
        setup_of({**card_of(), **changed}, LIMITS)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("name", "value"),
    [("seed", True), ("seed", None), ("sample_size", 10**9), ("metrics", ["fid"]),
     ("metrics", None), ("settings", {"trust": True}), ("clip", "../clip"), ("clip", 7),
     ("extractor", "luck")],
)  # fmt: skip
def test_a_field_out_of_its_range_is_refused(name: str, value: Any) -> None:
    found = card_of()
    with pytest.raises(InvalidValue):
        setup_of({**found, "request": found["request"] | {name: value}}, LIMITS)


def test_limits_of_the_machine_hold_for_cards_too() -> None:
    small = replace(LIMITS, caption_tokens=8)
    with pytest.raises(InvalidValue, match="max_new_tokens is 9"):
        setup_of(card_of(), small)
