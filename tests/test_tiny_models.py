"""The stand-ins hold what the tests rely on: all three load and answer."""

from __future__ import annotations

from PIL import Image

from pipelines.events import with_result
from pipelines.image_captioning.pipeline import CaptionRequest
from pipelines.image_captioning.pipeline import generate as describe
from pipelines.runtime.studio import Studio
from pipelines.text_generation.pipeline import TextRequest
from pipelines.text_generation.pipeline import generate as write
from pipelines.text_to_image.pipeline import PaintRequest
from pipelines.text_to_image.pipeline import generate as paint


def test_each_tiny_model_answers(studio: Studio) -> None:
    *_, written = with_result(write(studio, TextRequest("tiny-writer", "Once", 8, seed=0)))
    *_, painted = with_result(paint(studio, PaintRequest("tiny-painter", "a cat", steps=2, seed=0)))
    picture = Image.new("RGB", (128, 128), "white")
    *_, described = with_result(describe(studio, CaptionRequest("tiny-captioner", picture)))
    print(written, painted, described)

    assert written.new_tokens == 8
    assert painted.pictures[0].size == (128, 128)
    assert described.captions
