"""The held-out scenes as files: pictures and ``metadata.jsonl``, an imagefolder.

    python -m pipelines.recipes.emoji_scenes.dataset

writes ``assets/datasets/emoji-scenes``: the same 512 scenes at every call. Each has a
held-out combination of emoji and colour, or a pair with an emoji that training never pairs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipelines.files.images import open_picture
from pipelines.files.metadata import METADATA
from pipelines.recipes.emoji_scenes.data import (
    Box,
    Item,
    Pixels,
    Scene,
    World,
    arrange,
    caption,
    combination_is_held_out,
    plain_caption,
)
from pipelines.recipes.emoji_scenes.vocabulary import everyday
from pipelines.settings import Limits

HELD_OUT = Path("assets/datasets/emoji-scenes")
COUNT = 512
_SEED = 2026
_WORDINGS = 4
"""References in addition to the plain caption."""


@dataclass(frozen=True)
class Example:
    """A scene with its boxes, its picture and its captions, the plain one first."""

    file: Path
    scene: Scene
    boxes: tuple[Box, ...]
    captions: tuple[str, ...]

    def pixels(self) -> Pixels:
        """``(128, 128, 3)`` uint8."""
        return np.asarray(open_picture(self.file, Limits()))


def write_dataset(world: World, directory: Path, count: int = COUNT) -> None:
    """Draws held-out scenes and writes them as an imagefolder."""
    rng = np.random.default_rng(_SEED)
    rows = []
    for _ in range(count):
        scene = world.sample(rng, held_out=True)
        boxes = arrange(scene, rng)
        wordings = [caption(scene, rng) for _ in range(_WORDINGS)]
        row = {"text": plain_caption(scene), "wordings": wordings, **_scene_as_json(scene, boxes)}
        rows.append((world.draw(scene, boxes), row))
    write_imagefolder(directory, rows)


def write_imagefolder(directory: Path, rows: Sequence[tuple[Pixels, dict[str, Any]]]) -> None:
    """Pictures ``(H, W, 3)`` uint8 as numbered PNG files, their fields in ``metadata.jsonl``."""
    directory.mkdir(parents=True, exist_ok=True)
    lines = []
    for index, (pixels, fields) in enumerate(rows):
        name = f"{index:04d}.png"
        Image.fromarray(pixels).save(directory / name, optimize=True)
        lines.append(json.dumps({"file_name": name, **fields}, ensure_ascii=False) + "\n")
    (directory / METADATA).write_text("".join(lines), encoding="utf-8")


def read_dataset(directory: Path = HELD_OUT) -> list[Example]:
    """Reads what ``write_dataset`` has written.

    Raises:
        FileNotFoundError: there is no such folder; the message says how to make it.
    """
    path = directory / METADATA
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no {path}; make it with: python -m pipelines.recipes.emoji_scenes.dataset"
        )
    known = {entry.character: entry for entry in everyday()}
    examples = []
    for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        items = tuple(Item(known[item["emoji"]], item["size"]) for item in row["items"])
        boxes = tuple(tuple(item["box"]) for item in row["items"])
        scene = Scene(items, row["place"], row["colour"])
        captions = (row["text"], *row["wordings"])
        examples.append(Example(directory / row["file_name"], scene, boxes, captions))
    return examples


def _scene_as_json(scene: Scene, boxes: list[Box]) -> dict[str, Any]:
    return {
        "colour": scene.colour,
        "place": scene.place,
        "items": [
            {"emoji": item.emoji.character, "name": item.emoji.name, "size": item.size, "box": box}
            for item, box in zip(scene.items, boxes, strict=True)
        ],
        "held_out": "combination"
        if any(combination_is_held_out(item.emoji, scene.colour) for item in scene.items)
        else "pair",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=HELD_OUT)
    parser.add_argument("--count", type=int, default=COUNT)
    parsed = parser.parse_args()
    write_dataset(World(), parsed.output, parsed.count)


if __name__ == "__main__":
    main()
