"""Draws emoji scenes in another look, an imagefolder to fine-tune a painter on.

    python -m pipelines.recipes.finetune.night --output night-scenes --count 1000

Night scenes in outline: a dark blue sky, whatever colour the caption asks for, and each
emoji as light lines along the edges of its shape and of its lights and shades. The
captions are those of the scenes, so that the look alone is new.

Only the U-Net learns it: the look must be one that the base's autoencoder can show. That
of ``emoji-painter`` has seen twelve background colours and no thin lines, hence a sky
near its black, in one colour, without stars, and strong outlines.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipelines.files.metadata import METADATA
from pipelines.recipes.emoji_scenes.data import (
    EDGE,
    Box,
    Pixels,
    Scene,
    World,
    add_world_option,
    arrange,
    caption,
    plain_caption,
    world_named,
)

SKY = np.array([18, 24, 64], np.float32)
LINE = np.array([236, 232, 196], np.float32)
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
PLAIN_SHARE = 0.5
"""How many captions have the standard wording; the others vary."""

_GAIN = 1.6
"""What makes a step of luminance of 0.6 a full line."""

Grey = npt.NDArray[np.float32]


def outline(sprite: Pixels) -> Grey:
    """A sprite's lines, ``(edge, edge)`` in [0, 1].

    Lines are where alpha changes, and where luminance does within the shape: magnitudes of
    central differences.
    """
    alpha: Grey = sprite[..., 3].astype(np.float32) / np.float32(255)
    luminance: Grey = sprite[..., :3].astype(np.float32) @ LUMINANCE / np.float32(255)
    inner = _steepness(luminance * alpha) * _eroded(alpha)
    lines: Grey = np.clip(_GAIN * np.maximum(_dilated(_steepness(alpha)), inner), 0, 1)
    return lines


def _steepness(values: Grey) -> Grey:
    padded = np.pad(values, 1)
    across = padded[1:-1, 2:] - padded[1:-1, :-2]
    down = padded[2:, 1:-1] - padded[:-2, 1:-1]
    steepness: Grey = np.hypot(across, down)
    return steepness


def _dilated(values: Grey) -> Grey:
    """The greatest of each value and its neighbours."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, 1), (3, 3))
    dilated: Grey = windows.max(axis=(2, 3))
    return dilated


def _eroded(alpha: Grey) -> Grey:
    """1 where all neighbours are opaque: edges of the shape are told by alpha alone."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(alpha, 1), (3, 3))
    eroded: Grey = (windows.min(axis=(2, 3)) > 0.9).astype(np.float32)
    return eroded


def draw_night(world: World, scene: Scene, boxes: Sequence[Box]) -> Pixels:
    """The scene at night: ``(128, 128, 3)`` uint8."""
    canvas = np.empty((EDGE, EDGE, 3), np.float32)
    canvas[:] = SKY
    for item, (left, top, edge) in zip(scene.items, boxes, strict=True):
        lines = outline(world.sprite(item))[..., None]
        region = canvas[top : top + edge, left : left + edge]
        region += (LINE - region) * lines
    pixels: Pixels = np.clip(canvas.round(), 0, 255).astype(np.uint8)
    return pixels


def write_night(world: World, directory: Path, count: int, seed: int) -> None:
    """Draws scenes of the training set and writes them with ``metadata.jsonl``."""
    directory.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    with (directory / METADATA).open("w", encoding="utf-8") as lines:
        for index in range(count):
            scene = world.sample(rng)
            text = plain_caption(scene) if rng.random() < PLAIN_SHARE else caption(scene, rng)
            name = f"{index:04d}.png"
            pixels = draw_night(world, scene, arrange(scene, rng))
            Image.fromarray(pixels).save(directory / name, optimize=True)
            lines.write(json.dumps({"file_name": name, "text": text}) + "\n")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    add_world_option(parser)
    parsed = parser.parse_args(arguments)
    if parsed.count < 1:
        raise SystemExit(f"--count is {parsed.count}; it must be above 0")
    write_night(world_named(parsed.world), parsed.output, parsed.count, parsed.seed)


if __name__ == "__main__":
    main()
