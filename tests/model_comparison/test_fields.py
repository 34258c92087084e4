"""Plain fields, as a page or an API client sends them, become a request of the chosen task."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from PIL import Image

from pipelines.errors import InvalidValue
from pipelines.image_captioning import pipeline as describing
from pipelines.image_captioning.pipeline import CaptionRequest
from pipelines.model_comparison.link import request_of
from pipelines.model_comparison.side_form import OPTIONAL, PARAMETERS
from pipelines.settings import Limits
from pipelines.tasks import TASKS, TaskRecord
from pipelines.text_generation.pipeline import TextRequest
from pipelines.text_to_image import pipeline as painting
from pipelines.text_to_image.pipeline import PaintRequest
from pipelines.validation import rule_of

A: dict[str, Any] = {
    "model": "one", "temperature": 0.0, "steps": 5, "guidance_scale": 0.0, "scheduler": "Euler",
    "method": "sampling", "captions": 2, "no_repeat_ngram_size": 3, "repetition_penalty": -1,
}  # fmt: skip
B = A | {"model": "two", "temperature": 1.2, "steps": 9, "guidance_scale": 6.0, "captions": 4}
SHARED = {"task": "write", "prompt": "a cat", "seed": 0, "max_new_tokens": 30}
FIELDS = {**SHARED, "A": A, "B": B}


def test_each_task_reads_its_own_fields(tmp_path: Path) -> None:
    path = tmp_path / "white.png"
    Image.new("RGB", (8, 8), "white").save(path)
    written = request_of(FIELDS, None, Limits())
    painted = request_of(FIELDS | {"task": "paint"}, None, Limits())
    described = request_of(FIELDS | {"task": "describe"}, str(path), Limits())

    assert written.left == TextRequest("one", "a cat", 30, temperature=0.0, seed=0)
    assert painted.right == PaintRequest(
        "two", "a cat", steps=9, guidance_scale=6.0, scheduler="Euler", seed=0
    )
    assert isinstance(described.right, CaptionRequest)
    assert (described.right.method, described.right.count) == ("sampling", 4)
    guards = describing.checked(described.right, Limits())
    assert (guards.no_repeat_ngram_size, guards.repetition_penalty) == (3, None)
    assert described.left.picture is described.right.picture  # type: ignore[union-attr]


@pytest.mark.parametrize("picture", [None, ""])
def test_to_describe_takes_a_picture(picture: str | None) -> None:
    with pytest.raises(InvalidValue, match="Upload"):
        request_of(FIELDS | {"task": "describe"}, picture, Limits())


@pytest.mark.parametrize("task", ["sing", None, ["write"]])
def test_an_unknown_task_is_refused(task: Any) -> None:
    with pytest.raises(InvalidValue, match=r"task is .*; choose one of: write, paint, describe"):
        request_of(FIELDS | {"task": task}, None, Limits())


def test_minus_one_leaves_steps_and_guidance_to_the_model() -> None:
    own = A | {"steps": -1, "guidance_scale": -1}
    request = request_of(FIELDS | {"task": "paint", "A": own}, None, Limits())
    left = painting.checked(cast(PaintRequest, request.left), Limits())
    assert (left.steps, left.guidance_scale) == (None, None)


def test_the_page_has_a_field_for_each_setting_of_a_task_and_no_other() -> None:
    """One row of a task's record is all that a setting of a comparison takes."""
    compared = [shown for record in TASKS.values() for shown in record.compared.values()]
    shared = {name for record in TASKS.values() for name in record.shared}
    sides = {f"{name}_{side}" for name in ["model", *compared] for side in "ab"}
    assert set(PARAMETERS) == {"task", "picture", *shared, *sides}
    later = [f"{s.field}_{side}" for r in TASKS.values() for side in "ab"
             for s in r.settings if s.is_compared and s.is_later]  # fmt: skip
    *_, picture = (name for name in PARAMETERS if name not in later)
    assert picture == "picture", "where programs give it"
    assert [*PARAMETERS][-len(later) :] == later == [*OPTIONAL][-len(later) :]


@pytest.mark.parametrize("record", TASKS.values(), ids=TASKS)
def test_what_a_setting_begins_with_is_in_its_range(record: TaskRecord) -> None:
    for setting in record.settings:
        assert not setting.is_later or setting.usual is None, "links from before it mean no other"
        if setting.name == "context":  # an evaluation's own
            continue
        rule = rule_of(record.pipeline.Request, setting.name)
        for value in (record.usual(setting), *setting.sides):
            assert rule.check(setting.name, value, Limits()) == value
