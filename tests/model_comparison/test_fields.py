"""Plain fields become a request of the chosen task."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from PIL import Image

from pipelines.errors import InvalidValue
from pipelines.image_captioning.pipeline import CaptionRequest
from pipelines.model_comparison.fields import SharedFields, SideFields, compare_request
from pipelines.settings import Limits
from pipelines.text_generation.pipeline import TextRequest
from pipelines.text_to_image import pipeline as painting
from pipelines.text_to_image.pipeline import PaintRequest

SHARED = SharedFields("write", "a cat", 0, 30, None)
A = SideFields("one", 0.0, 5, 0.0, "Euler", "sampling", 2)
B = replace(A, model="two", temperature=1.2, steps=9, guidance_scale=6.0, captions=4)


def test_each_task_reads_its_own_fields(tmp_path: Path) -> None:
    path = tmp_path / "white.png"
    Image.new("RGB", (8, 8), "white").save(path)
    written = compare_request(SHARED, A, B, Limits())
    painted = compare_request(replace(SHARED, task="paint"), A, B, Limits())
    described = compare_request(replace(SHARED, task="describe", picture=str(path)), A, B, Limits())

    assert written.left == TextRequest("one", "a cat", 30, temperature=0.0, seed=0)
    assert painted.right == PaintRequest(
        "two", "a cat", steps=9, guidance_scale=6.0, scheduler="Euler", seed=0
    )
    assert isinstance(described.right, CaptionRequest)
    assert (described.right.method, described.right.count) == ("sampling", 4)
    assert described.left.picture is described.right.picture  # type: ignore[union-attr]


@pytest.mark.parametrize("picture", [None, ""])
def test_to_describe_takes_a_picture(picture: str | None) -> None:
    with pytest.raises(InvalidValue, match="Upload"):
        compare_request(replace(SHARED, task="describe", picture=picture), A, B, Limits())


def test_minus_one_leaves_steps_and_guidance_to_the_model() -> None:
    own = replace(A, steps=-1, guidance_scale=-1)
    request = compare_request(replace(SHARED, task="paint"), own, B, Limits())
    left = painting.checked(cast(PaintRequest, request.left), Limits())
    assert (left.steps, left.guidance_scale) == (None, None)
