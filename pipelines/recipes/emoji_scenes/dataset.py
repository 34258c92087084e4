"""The held-out scenes as files: pictures and ``metadata.jsonl``, an imagefolder.

    python -m pipelines.recipes.emoji_scenes.dataset

writes ``assets/datasets/emoji-scenes``: the same 512 scenes at every call. None of them,
and no scene like them, is in any training: each has an emoji-and-colour combination that
is held out, or a pair with an emoji that never stands in one.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipelines.files.images import open_picture
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
from pipelines.recipes.emoji_scenes.vocabulary import Emoji, everyday
from pipelines.settings import Limits

HELD_OUT = Path("assets/datasets/emoji-scenes")
COUNT = 512
_SEED = 2026
_WORDINGS = 4
"""References beside the plain caption."""


@dataclass(frozen=True)
class Example:
    """A scene with its boxes, its picture's file and its wordings, the plain one first."""

    file: Path
    scene: Scene
    boxes: tuple[Box, ...]
    captions: tuple[str, ...]

    def pixels(self) -> Pixels:
        """``(128, 128, 3)`` uint8."""
        return np.asarray(open_picture(self.file, Limits()))


def write_dataset(world: World, directory: Path, count: int = COUNT) -> None:
    """Draws held-out scenes and writes them as PNG files with ``metadata.jsonl``."""
    directory.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(_SEED)
    with (directory / "metadata.jsonl").open("w", encoding="utf-8") as lines:
        for index in range(count):
            scene = world.sample(rng, held_out=True)
            boxes = arrange(scene, rng)
            name = f"{index:04d}.png"
            picture = Image.fromarray(world.draw(scene, boxes))
            picture.save(directory / name, optimize=True)
            wordings = [caption(scene, rng) for _ in range(_WORDINGS)]
            row = {"file_name": name, "text": plain_caption(scene), "wordings": wordings}
            row |= _as_json(scene, boxes)
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_dataset(directory: Path = HELD_OUT) -> list[Example]:
    """The examples of a folder that ``write_dataset`` has written.

    Raises:
        FileNotFoundError: there is no such folder; the message says how to make it.
    """
    path = directory / "metadata.jsonl"
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no {path}; make it with: python -m pipelines.recipes.emoji_scenes.dataset"
        )
    known = {entry.character: entry for entry in everyday()}
    rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return [_from_json(directory, row, known) for row in rows]


def _as_json(scene: Scene, boxes: list[Box]) -> dict[str, Any]:
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


def _from_json(directory: Path, row: dict[str, Any], known: dict[str, Emoji]) -> Example:
    items = tuple(Item(known[item["emoji"]], item["size"]) for item in row["items"])
    boxes = tuple((left, top, edge) for left, top, edge in (item["box"] for item in row["items"]))
    return Example(
        directory / row["file_name"],
        Scene(items, row["place"], row["colour"]),
        boxes,
        (row["text"], *row["wordings"]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=HELD_OUT)
    parser.add_argument("--count", type=int, default=COUNT)
    parsed = parser.parse_args()
    write_dataset(World(), parsed.output, parsed.count)


if __name__ == "__main__":
    main()
