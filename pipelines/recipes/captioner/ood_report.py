"""How often pictures are called foreign: rightly, of foreign ones, and wrongly, of scenes.

    python -m pipelines.recipes.captioner.ood_report --fit

measures a finished captioner, with ``--fit`` after it has learned anew what is foreign.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import VisionEncoderDecoderModel

from pipelines.files.images import ENDINGS, open_picture
from pipelines.recipes.captioner import foreign, ood_test
from pipelines.recipes.captioner.augment import AUGMENTATIONS
from pipelines.recipes.captioner.familiarity import SCENES, describe_world, looks_of, write_world
from pipelines.recipes.captioner.model import Familiarity
from pipelines.recipes.emoji_scenes.data import add_world_option, world_named
from pipelines.runtime.loading import OFFLINE
from pipelines.settings import Limits

_SEED = 5678
_PARTS = 16
"""Cut from each photograph."""


def foreign_shares(
    model: VisionEncoderDecoderModel, familiarity: Familiarity, count: int
) -> dict[str, float]:
    """Of each kind of foreign picture, the share that is called foreign."""
    shares = {}
    for kind, paint in {**foreign.KINDS, **ood_test.KINDS}.items():
        rng = np.random.default_rng(_SEED)
        pictures = [paint(rng) for _ in range(count)]
        shares[f"foreign_{kind}"] = share_beyond(model, familiarity, pictures)
    return shares


def scene_shares(
    model: VisionEncoderDecoderModel, familiarity: Familiarity, scenes: Sequence[Image.Image]
) -> dict[str, float]:
    """Of the scenes, augmented in each way, the share that is wrongly called foreign."""
    rng = np.random.default_rng(_SEED)
    return {
        f"scene_{name}": share_beyond(model, familiarity, [augment(each, rng) for each in scenes])
        for name, augment in AUGMENTATIONS.items()
    }


def share_beyond(
    model: VisionEncoderDecoderModel,
    familiarity: Familiarity,
    pictures: Sequence[Image.Image | foreign.Pixels],
) -> float:
    return float(familiarity.is_foreign(*looks_of(model, pictures)).float().mean())


def opened(folder: Path) -> list[Image.Image]:
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in ENDINGS)
    return [open_picture(file, Limits()) for file in files]


def cut(pictures: Sequence[Image.Image]) -> list[Image.Image]:
    """Square parts of each, from a third of its shorter side to the whole."""
    rng = np.random.default_rng(_SEED)
    parts = []
    for picture in pictures:
        for _ in range(_PARTS):
            edge = min(picture.size) * rng.uniform(1 / 3, 1)
            left, top = ((side - edge) * rng.random() for side in picture.size)
            parts.append(picture.crop((int(left), int(top), int(left + edge), int(top + edge))))
    return parts


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=Path("assets/models/emoji-captioner"))
    parser.add_argument("--scenes", type=Path, default=Path("assets/datasets/emoji-scenes"))
    parser.add_argument("--photographs", type=Path, help="a folder of pictures of anything else")
    parser.add_argument("--fit", action="store_true", help="write world.json anew before")
    parser.add_argument("--smoke", action="store_true", help="few pictures")
    add_world_option(parser)
    options = parser.parse_args(arguments)
    model = VisionEncoderDecoderModel.from_pretrained(options.model, dtype=torch.float32, **OFFLINE)
    if options.fit:
        world = world_named(options.world, options.smoke)
        description = describe_world(model, world, 64 if options.smoke else SCENES)
        write_world(description, options.model)
    world_json = json.loads((options.model / "world.json").read_text(encoding="utf-8"))
    known = Familiarity.from_json(world_json["familiarity"])
    shares = scene_shares(model, known, opened(options.scenes)[: 8 if options.smoke else None])
    shares |= foreign_shares(model, known, 4 if options.smoke else 256)
    if options.photographs is not None:
        shares["photographs"] = share_beyond(model, known, cut(opened(options.photographs)))
    for name, share in shares.items():
        print(f"{name:20} {share:7.2%}")


if __name__ == "__main__":
    main()
