"""Pictures of the samples on which models differ most: small ones, and all of them on one sheet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.evaluation.result import EvaluationResult
from pipelines.sharing.documents import as_png
from pipelines.tasks import TASKS

if TYPE_CHECKING:
    from PIL import Image

FILE, TITLE = "samples.png", "Samples that differ most"
_EDGE, _GAP = 192, 8


def rows(result: EvaluationResult) -> list[list[tuple[Path, str]]]:
    """For each sample the files of its pictures with captions: the one that was described, or what
    each model painted. A writer's samples have none."""
    task = TASKS[result.request.task]
    if task.takes == "picture":
        described = ((each.sample.file, each.sample.name) for each in result.differing)
        return [[(file, name)] for file, name in described if file is not None]
    if task.makes != "pictures":
        return [[] for _ in result.differing]
    return [
        [(m.outputs.files[each.place], f"{m.name}: {each.sample.text}") for m in result.models]
        for each in result.differing
    ]


def drawn(result: EvaluationResult) -> dict[str, bytes]:
    """The sheet as a PNG's content by its file's name; nothing where there are no pictures.

    Painters have a row for each sample and a column for each model, in their order; pictures
    that were described stand side by side.
    """
    pictures = [[small(file) for file, _ in row] for row in rows(result)]
    if TASKS[result.request.task].takes == "picture":
        pictures = [[picture for row in pictures for picture in row]]
    return {FILE: as_png(_sheet(pictures))} if any(pictures) else {}


def small(file: Path) -> Image.Image:
    """The picture in a file, of at most 192 pixels an edge."""
    from PIL import Image

    with Image.open(file) as picture:
        made_small = picture.convert("RGB")
    made_small.thumbnail((_EDGE, _EDGE))
    return made_small


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
