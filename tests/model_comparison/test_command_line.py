"""The command line runs receipts again as the page does, from a painted PNG or from JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipelines.image_captioning import pipeline as describing
from pipelines.model_comparison.__main__ import main
from pipelines.runtime.studio import Studio
from pipelines.text_generation import pipeline as writing
from pipelines.text_to_image import pipeline as painting
from pipelines.text_to_image.files import save_png
from tests.running import finished

PICTURE = Image.new("RGB", (64, 48), "orange")


def replayed(studio: Studio, file: Path, *options: str) -> int:
    places = ["--model-dir", str(studio.settings.models_dir), "--no-hub"]
    return main(["replay", str(file), *places, "--data-dir", str(file.parent), *options])


def written(folder: Path, receipt: dict[str, Any]) -> Path:
    path = folder / "receipt.json"
    path.write_text(json.dumps(receipt), encoding="utf-8")
    return path


def test_a_receipt_of_each_task_is_run_again_from_json(studio: Studio, tmp_path: Path) -> None:
    """It said "This is no card: its kind is None" to every receipt."""
    text = finished(writing.generate, studio, writing.TextRequest("tiny-writer", "Once", 6))
    assert replayed(studio, written(tmp_path, text.receipt)) == 0
    request = describing.CaptionRequest("tiny-captioner", PICTURE, count=1, max_new_tokens=4)
    captions = finished(describing.generate, studio, request)
    PICTURE.save(tmp_path / "described.png")
    picture = ["--picture", str(tmp_path / "described.png")]
    assert replayed(studio, written(tmp_path, captions.receipt), *picture) == 0


def test_a_painted_file_is_run_again_and_what_differs_is_said(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = painting.PaintRequest("tiny-painter", "a cat", steps=2, count=2)
    result = finished(painting.generate, studio, request)
    _, second = save_png(result, tmp_path)
    assert replayed(studio, Path(second), "--output", str(tmp_path / "out")) == 0
    assert "equal    the output itself" in capsys.readouterr().out
    again = json.loads((tmp_path / "out/receipt.json").read_text(encoding="utf-8"))
    assert again["request"]["seed"] == result.seed + 1
    other = {**result.receipt, "output_sha256": "0" * 64}
    assert replayed(studio, written(tmp_path, other)) == 1
    assert "differs  the output itself" in capsys.readouterr().out


def test_what_is_no_receipt_is_refused_with_words(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    PICTURE.save(tmp_path / "plain.png")
    assert replayed(studio, tmp_path / "plain.png") == 2
    assert "carries no receipt" in capsys.readouterr().err
    assert replayed(studio, tmp_path / "absent.json") == 2
    assert "cannot be read (No such file" in capsys.readouterr().err
