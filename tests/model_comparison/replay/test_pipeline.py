"""A receipt run again: the same on the same machine, and told where it is not."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from pipelines.errors import InvalidValue
from pipelines.events import with_result
from pipelines.image_captioning import pipeline as describing
from pipelines.model_comparison.replay.pipeline import Replay, read_receipt, replay
from pipelines.studio import Studio
from pipelines.text_generation import pipeline as writing
from pipelines.text_to_image import pipeline as painting

PICTURE = Image.new("RGB", (64, 48), "orange")


def finish(run: Any) -> Any:
    return list(with_result(run))[-1]


def receipt_of(studio: Studio, task: str) -> dict[str, Any]:
    if task == "write":
        request = writing.TextRequest("tiny-writer", "Once", 8)
        result = finish(writing.generate(studio, request))
    elif task == "paint":
        result = finish(
            painting.generate(studio, painting.PaintRequest("tiny-painter", "a cat", steps=2))
        )
    else:
        caption = describing.CaptionRequest(
            "tiny-captioner", PICTURE, method="sampling", max_new_tokens=6
        )
        result = finish(describing.generate(studio, caption))
    receipt: dict[str, Any] = result.receipt
    return receipt


@pytest.mark.parametrize("task", ["write", "paint", "describe"])
def test_a_receipt_run_again_gives_the_same_output(studio: Studio, task: str) -> None:
    receipt = receipt_of(studio, task)
    again: Replay = finish(replay(studio, receipt, PICTURE))
    assert again.is_same_output
    assert again.differences == []


def test_what_differs_is_named(studio: Studio) -> None:
    receipt = receipt_of(studio, "write")
    receipt["versions"]["torch"] = "1.0"
    receipt["output_sha256"] = "0" * 64
    again: Replay = finish(replay(studio, receipt))
    assert not again.is_same_output
    assert any(line.startswith("versions torch: was 1.0") for line in again.differences)


def test_another_picture_than_the_receipts_is_refused(studio: Studio) -> None:
    receipt = receipt_of(studio, "describe")
    with pytest.raises(InvalidValue, match="not the picture that the receipt names"):
        finish(replay(studio, receipt, Image.new("RGB", (64, 48), "green")))


@pytest.mark.parametrize("text", ["", "no", "[]", "[" * 50_000, "x" * 200_000])
def test_what_is_no_receipt_is_refused_with_words(text: str) -> None:
    with pytest.raises(InvalidValue, match=r"[Rr]eceipt"):
        read_receipt(text)


@pytest.mark.parametrize(
    "receipt",
    [
        {},
        {"schema": 1, "task": "sing"},
        {"schema": 2, "task": "write", "request": {}},
        {"schema": 1, "task": "write", "request": {"model": "tiny-writer", "command": "rm"}},
        {"schema": 1, "task": "write", "request": {"model": "tiny-writer"}},
        {"schema": 1, "task": "write", "request": {"model": ["tiny-writer"], "prompt": "a"}},
    ],
)
def test_a_forged_receipt_is_refused_with_words(studio: Studio, receipt: dict[str, Any]) -> None:
    from pipelines.errors import StudioError

    with pytest.raises(StudioError):
        finish(replay(studio, receipt))
