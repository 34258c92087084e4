"""Pictures of the samples on which models differ most: small ones, and all of them on one sheet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.evaluation.result import Differing, EvaluationResult, ModelResult
from pipelines.sharing.documents import as_png
from pipelines.tasks import TASKS

if TYPE_CHECKING:
    from PIL import Image

FILE, TITLE = "samples.png", "Samples that differ most"
_EDGE, _GAP = 192, 8


def drawn(result: EvaluationResult) -> dict[str, bytes]:
    """The sheet as a PNG's content by its file's name; nothing where there are no pictures.

    Painters have a row for each sample and a column for each model, in their order; pictures
    that were described stand side by side.
    """
    task = TASKS[result.request.task]
    if task.takes == "picture":
        rows = [[of_sample(each) for each in result.differing]]
    elif task.makes == "pictures":
        rows = [[of_model(each, model) for model in result.models] for each in result.differing]
    else:
        rows = []
    return {FILE: as_png(_sheet(rows))} if any(rows) else {}


def of_sample(differing: Differing) -> Image.Image:
    """The picture that was described, made small."""
    assert differing.sample.file is not None
    return _small(differing.sample.file)


def of_model(differing: Differing, model: ModelResult) -> Image.Image:
    """What a model painted of the sample, made small."""
    return _small(model.outputs.files[differing.place])


def _small(file: Path) -> Image.Image:
    from PIL import Image

    with Image.open(file) as picture:
        small = picture.convert("RGB")
    small.thumbnail((_EDGE, _EDGE))
    return small


def _sheet(rows: list[list[Image.Image]]) -> Image.Image:
    """Pictures in rows and columns as wide and high as the largest of them."""
    from PIL import Image

    pictures = [picture for row in rows for picture in row]
    wide = _GAP + max(picture.width for picture in pictures)
    high = _GAP + max(picture.height for picture in pictures)
    sheet = Image.new("RGB", (wide * len(rows[0]) - _GAP, high * len(rows) - _GAP), "white")
    for top, row in enumerate(rows):
        for left, picture in enumerate(row):
            sheet.paste(picture, (left * wide, top * high))
    return sheet
