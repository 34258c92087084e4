"""Writes pictures to files that carry their receipt inside, and for other programs their
settings as AUTOMATIC1111 writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL.PngImagePlugin import PngInfo

from pipelines.files.temporary import new_folder
from pipelines.runtime.receipts import PNG_KEY, hash_pictures
from pipelines.text_to_image import a1111

if TYPE_CHECKING:
    from pipelines.text_to_image.pipeline import PaintResult


def save_png(result: PaintResult, temporary_dir: Path, done: int = 0) -> list[str]:
    """One PNG for each picture of the result behind the first ``done``, in a new folder; their
    paths.

    Each file has the receipt of its own picture alone, with its place in the run.
    """
    folder = new_folder(temporary_dir, "paint")
    paths = []
    for index, picture in enumerate(result.pictures[done:], start=done):
        info = PngInfo()
        receipt = receipt_of_one(result, index)
        info.add_text(a1111.KEYWORD, a1111.written(receipt["request"]))
        info.add_text(PNG_KEY, json.dumps(receipt))
        path = folder / f"triptych-{result.seed + index}.png"
        picture.save(path, pnginfo=info)
        paths.append(str(path))
    return paths


def receipt_of_one(result: PaintResult, index: int) -> dict[str, Any]:
    """The receipt of one picture of a result, which paints it alone to the bit.

    Timings stay those of the run; ``picture`` is its place there.
    """
    alone = {"seed": result.seed + index, "count": 1}
    return {
        **result.receipt,
        "request": {**result.receipt["request"], **alone},
        "output_sha256": hash_pictures([result.pictures[index]]),
        "picture": index,
    }
