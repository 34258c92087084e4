"""The Describe tab: what comes first, and what is folded away."""

from __future__ import annotations

import gradio as gr
import pytest
from PIL import Image

from pipelines.events import Progress
from pipelines.image_captioning import tab
from pipelines.image_captioning.pipeline import FOREIGN, CaptionRequest, generate
from pipelines.runtime.studio import Studio
from tests.running import finished

WHITE = Image.new("RGB", (128, 128), "white")
RAMP = Image.linear_gradient("L").resize((128, 128)).convert("RGB")


@pytest.mark.parametrize(("picture", "is_known"), [(WHITE, True), (RAMP, False)])
def test_a_guess_at_a_foreign_picture_is_folded_away_below_the_sentence(
    studio: Studio, picture: Image.Image, is_known: bool
) -> None:
    """A photograph had "big a big big a big big" as its caption."""
    result = finished(generate, studio, CaptionRequest("tiny-captioner", picture))
    best, _, notes, table, _, _, fold = tab._update(result)
    assert (best, table[0][0]) == (result.captions[0].text,) * 2
    assert (fold.open, fold.label) == (
        (True, "Captions") if is_known else (False, "What it guesses")
    )
    assert notes["visible"] is not is_known
    assert notes["value"] == ("" if is_known else FOREIGN)


def test_while_it_runs_the_fold_stays_as_it_is() -> None:
    assert tab._update(Progress("Describing"))[-1] == gr.skip()


def test_the_sentence_stands_above_the_captions(studio: Studio) -> None:
    with gr.Blocks() as page:
        tab.build(studio, {})
    drawn = [{*block.elem_classes, block.elem_id} for block in page.blocks.values()]
    first = next(names for names in drawn if {"notes", "caption"} & names)
    assert "notes" in first
