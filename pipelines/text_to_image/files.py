"""Writes pictures to files that carry their receipt inside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from PIL.PngImagePlugin import PngInfo

from pipelines.files.temporary import new_folder
from pipelines.runtime.receipts import PNG_KEY

if TYPE_CHECKING:
    from pipelines.text_to_image.pipeline import PaintResult


def save_png(result: PaintResult, temporary_dir: Path) -> list[str]:
    """One PNG for each picture of the result, in a new folder; their paths.

    Each file has the receipt of the whole run, with its own place in it: a picture that is
    painted in a batch can differ by a level here and there from the same one painted alone.
    """
    folder = new_folder(temporary_dir, "paint")
    paths = []
    for index, picture in enumerate(result.pictures):
        info = PngInfo()
        info.add_text(PNG_KEY, json.dumps({**result.receipt, "picture": index}))
        path = folder / f"triptych-{result.seed + index}.png"
        picture.save(path, pnginfo=info)
        paths.append(str(path))
    return paths
