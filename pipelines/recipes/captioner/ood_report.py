"""How often a captioner takes pictures for out-of-distribution ones: rightly and wrongly.

    python -m pipelines.recipes.captioner.ood_report --fit

measures a finished captioner; ``--fit`` first trains its detector anew.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import PreTrainedModel, VisionEncoderDecoderModel

from pipelines.files.images import ENDINGS, open_picture
from pipelines.recipes.captioner.augment import AUGMENTATIONS
from pipelines.recipes.captioner.model import Familiarity
from pipelines.recipes.captioner.ood_detector import SCENES, inputs_of, write_world
from pipelines.recipes.captioner.ood_pictures import TEST_KINDS, TRAINING_KINDS
from pipelines.recipes.emoji_scenes.data import Pixels, add_world_option, world_named
from pipelines.runtime.loading import OFFLINE
from pipelines.settings import Limits

_SEED = 5678
_CROPS = 16
"""Cut from each photograph."""


def detected_share(
    model: PreTrainedModel,
    detector: Familiarity,
    pictures: Sequence[Image.Image | Pixels],
) -> float:
    """The share of the pictures that are taken for out-of-distribution ones."""
    return float(detector.is_unfamiliar(*inputs_of(model, pictures)).float().mean())


def detected_kinds(model: PreTrainedModel, detector: Familiarity, count: int) -> dict[str, float]:
    """The share that is detected of ``count`` pictures of each kind, as ``foreign_KIND``."""
    shares = {}
    for kind, draw in {**TRAINING_KINDS, **TEST_KINDS}.items():
        rng = np.random.default_rng(_SEED)
        pictures = [draw(rng) for _ in range(count)]
        shares[f"foreign_{kind}"] = detected_share(model, detector, pictures)
    return shares


def _opened(folder: Path) -> list[Image.Image]:
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in ENDINGS)
    return [open_picture(file, Limits()) for file in files]


def _crops(pictures: Sequence[Image.Image]) -> list[Image.Image]:
    """Random squares of each, from a third of its shorter side to the whole."""
    rng = np.random.default_rng(_SEED)
    crops = []
    for picture in (picture for picture in pictures for _ in range(_CROPS)):
        edge = min(picture.size) * rng.uniform(1 / 3, 1)
        left, top = ((side - edge) * rng.random() for side in picture.size)
        crops.append(picture.crop((int(left), int(top), int(left + edge), int(top + edge))))
    return crops


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=Path("assets/models/emoji-captioner"))
    parser.add_argument("--scenes", type=Path, default=Path("assets/datasets/emoji-scenes"))
    parser.add_argument("--photographs", type=Path, help="a folder of pictures of anything else")
    parser.add_argument("--fit", action="store_true", help="first train the detector anew")
    parser.add_argument("--smoke", action="store_true", help="few pictures")
    add_world_option(parser)
    options = parser.parse_args(arguments)
    model = VisionEncoderDecoderModel.from_pretrained(options.model, dtype=torch.float32, **OFFLINE)
    if options.fit:
        world = world_named(options.world, options.smoke)
        write_world(model, world, 64 if options.smoke else SCENES, options.model)
    known = json.loads((options.model / "world.json").read_text(encoding="utf-8"))
    detector = Familiarity.from_json(known["familiarity"])
    scenes = _opened(options.scenes)[: 8 if options.smoke else None]
    shares = {}
    for name, change in AUGMENTATIONS.items():
        rng = np.random.default_rng(_SEED)
        changed = [change(scene, rng) for scene in scenes]
        shares[f"scene_{name}"] = detected_share(model, detector, changed)
    shares |= detected_kinds(model, detector, 4 if options.smoke else 256)
    if options.photographs is not None:
        crops = _crops(_opened(options.photographs))
        shares["photographs"] = detected_share(model, detector, crops)
    for name, share in shares.items():
        print(f"{name:20} {share:7.2%}")


if __name__ == "__main__":
    main()
