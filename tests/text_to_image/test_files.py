"""Pictures carry their receipts, and only those that do give one back."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from pipelines.errors import InvalidValue
from pipelines.events import with_result
from pipelines.runtime.receipts import PNG_KEY, hash_pictures
from pipelines.runtime.studio import Studio
from pipelines.settings import Limits
from pipelines.sharing.reading import receipt_in_picture
from pipelines.sharing.replay import replay
from pipelines.text_to_image.files import save_png
from pipelines.text_to_image.pipeline import PaintRequest, PaintResult, generate


def painted(studio: Studio, seed: int = 5, count: int = 2) -> PaintResult:
    request = PaintRequest("tiny-painter", "a cat", steps=2, seed=seed, count=count)
    *_, result = with_result(generate(studio, request))
    assert isinstance(result, PaintResult)
    return result


def test_each_file_has_the_receipt_that_paints_it_alone(studio: Studio, tmp_path: Path) -> None:
    """The receipt was that of the whole batch, whose pictures differ by a level from one alone."""
    result = painted(studio, count=3)
    for index, path in enumerate(save_png(result, tmp_path)):
        receipt = receipt_in_picture(Path(path), Limits())
        assert receipt["picture"] == index
        assert (receipt["request"]["seed"], receipt["request"]["count"]) == (5 + index, 1)
        *_, again = with_result(replay(studio, receipt))
        assert again.is_equal, again.lines
        with Image.open(path) as picture:
            assert hash_pictures([picture]) == again.made["output_sha256"]


def test_two_results_never_share_a_file(studio: Studio, tmp_path: Path) -> None:
    result = painted(studio)
    assert not set(save_png(result, tmp_path)) & set(save_png(result, tmp_path))


@pytest.mark.parametrize("text", [None, "not json", "[1]", "[" * 100_000])
def test_a_picture_without_a_sound_receipt_is_refused(tmp_path: Path, text: str | None) -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    if text is not None:
        info.add_text(PNG_KEY, text)
    path = tmp_path / "picture.png"
    Image.new("RGB", (8, 8)).save(path, pnginfo=info)
    with pytest.raises(InvalidValue, match="no receipt"):
        receipt_in_picture(path, Limits())
