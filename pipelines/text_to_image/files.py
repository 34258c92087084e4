"""Writes pictures to files that carry their receipt inside, and reads it back."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pipelines.errors import InvalidValue
from pipelines.files.images import FORMATS, open_picture
from pipelines.settings import Limits

if TYPE_CHECKING:
    from pipelines.text_to_image.pipeline import PaintResult

RECEIPT_KEY = "triptych"
"""The PNG text chunk that holds the receipt as JSON."""


def save_png(result: PaintResult, data_dir: Path) -> list[str]:
    """One PNG for each picture of the result, in a new folder; their paths.

    Each file has the receipt of the whole run, with its own place in it: a picture that is
    painted in a batch can differ by a level here and there from the same one painted alone.
    """
    pictures_dir = data_dir / "tmp"
    pictures_dir.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="paint-", dir=pictures_dir))
    paths = []
    for index, picture in enumerate(result.pictures):
        info = PngInfo()
        info.add_text(RECEIPT_KEY, json.dumps({**result.receipt, "picture": index}))
        path = folder / f"triptych-{result.seed + index}.png"
        picture.save(path, pnginfo=info)
        paths.append(str(path))
    return paths


def receipt_in_file(path: Path, limits: Limits) -> dict[str, Any]:
    """The receipt inside a picture that ``save_png`` wrote.

    Raises:
        InvalidValue: there is none, it is damaged, or the picture is not to be opened.
    """
    open_picture(path, limits)  # refuses what is too large or no picture
    with Image.open(path, formats=FORMATS) as picture:
        text = picture.info.get(RECEIPT_KEY)
    try:
        receipt = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        receipt = None
    if not isinstance(receipt, dict):
        raise InvalidValue(
            "This picture carries no receipt of this page. Give a PNG downloaded from it."
        )
    return receipt
