"""Draws emoji scenes in another style, as an imagefolder to fine-tune a painter on.

    python -m pipelines.recipes.finetune.night --output night-scenes --count 1000

Night scenes in outline: a dark blue sky, whatever colour the caption names, and each emoji
as light lines along the edges of its shape and within it. The captions are those of plain
scenes, so only the style is new.

Fine-tuning trains the U-Net alone, so the base's autoencoder must be able to show the style.
That of ``emoji-painter`` was trained on twelve background colours and no thin lines: hence a
sky in one colour near its black, and strong outlines.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

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
from pipelines.recipes.emoji_scenes.dataset import write_imagefolder

SKY = np.array([18, 24, 64], np.float32)
LINE = np.array([236, 232, 196], np.float32)
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
PLAIN_SHARE = 0.5
"""The share of captions in the standard wording; the others vary."""

_GAIN = 1.6
"""Makes a step of luminance of 0.6 a full line."""

Grey = npt.NDArray[np.float32]


def outline(sprite: Pixels) -> Grey:
    """Lines ``(edge, edge)`` in [0, 1] of a sprite ``(edge, edge, 4)`` uint8.

    They follow the steepest changes of alpha, and of luminance where all neighbours are
    opaque.
    """
    alpha: Grey = sprite[..., 3].astype(np.float32) / np.float32(255)
    luminance: Grey = sprite[..., :3].astype(np.float32) @ LUMINANCE / np.float32(255)
    is_inner = _largest_nearby(1 - alpha, outside=1) < 0.1
    shape = _largest_nearby(_steepness(alpha), outside=0)
    lines = np.maximum(shape, _steepness(luminance * alpha) * is_inner)
    clipped: Grey = np.clip(_GAIN * lines, 0, 1)
    return clipped


def _steepness(values: Grey) -> Grey:
    """The length of the central differences ``v[i + 1] - v[i - 1]``; 0 is outside."""
    down, across = np.gradient(np.pad(values, 1))
    steepness: Grey = 2 * np.hypot(down, across)[1:-1, 1:-1]
    return steepness


def _largest_nearby(values: Grey, outside: float) -> Grey:
    """The largest of each value and its eight neighbours."""
    padded = torch.from_numpy(np.pad(values, 1, constant_values=outside))
    largest: Grey = functional.max_pool2d(padded[None, None], 3, stride=1)[0, 0].numpy()
    return largest


def draw_night(world: World, scene: Scene, boxes: Sequence[Box]) -> Pixels:
    """The scene at night: ``(128, 128, 3)`` uint8."""
    canvas = np.tile(SKY, (EDGE, EDGE, 1))
    for item, (left, top, edge) in zip(scene.items, boxes, strict=True):
        region = canvas[top : top + edge, left : left + edge]
        region += (LINE - region) * outline(world.sprite(item))[..., None]
    pixels: Pixels = np.clip(canvas.round(), 0, 255).astype(np.uint8)
    return pixels


def write_night(world: World, directory: Path, count: int, seed: int) -> None:
    """Draws scenes of the training set and writes them as an imagefolder."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        scene = world.sample(rng)
        text = plain_caption(scene) if rng.random() < PLAIN_SHARE else caption(scene, rng)
        rows.append((draw_night(world, scene, arrange(scene, rng)), {"text": text}))
    write_imagefolder(directory, rows)


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
