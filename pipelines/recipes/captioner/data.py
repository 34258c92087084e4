"""Random emoji scenes with captions, and what covers each cell of the encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from pipelines.recipes.captioner.model import IMAGE_EDGE
from pipelines.recipes.emoji_scenes.data import (
    PLAIN_SHARE,
    Box,
    Scene,
    World,
    arrange,
    as_images,
    caption,
    plain_caption,
    plural,
)

PARTS = ("none", "only", "left", "right", "above", "below")
"""The positions that an item can have in its scene."""

CELLS = 8


@dataclass(frozen=True)
class Batch:
    """Scenes with everything that the losses and the scores need.

    ``images`` are ``(B, 3, 128, 128)`` in [-1, 1]; ``tokens`` ``(B, L)`` have begin and end
    tokens and padding. ``cells`` and ``parts`` ``(B, 64)`` say what covers each cell's
    centre: the number of the emoji from 1 on and the index in ``PARTS``; 0 for background.
    """

    scenes: list[Scene]
    boxes: list[list[Box]]
    images: torch.Tensor
    tokens: torch.Tensor
    cells: torch.Tensor
    parts: torch.Tensor


def words_of(world: World) -> set[str]:
    """Every word that a caption of this world can have."""
    rng = np.random.default_rng(0)
    texts = [caption(scene, rng) for scene in [world.sample(rng) for _ in range(3000)]]
    for name in (name for emoji in world.emoji for name in emoji.names):
        texts += [name, plural(name)]
    return {word for text in texts for word in text.split()}


def draw_batch(
    world: World,
    tokenizer: PreTrainedTokenizerBase,
    size: int,
    rng: np.random.Generator,
    held_out: bool = False,
) -> Batch:
    """Random scenes of the training set, or held-out ones in their standard wording."""
    scenes = [world.sample(rng, held_out=held_out) for _ in range(size)]
    boxes = [arrange(scene, rng) for scene in scenes]
    positions = [parts_of(places) for places in boxes]
    texts = [
        plain_caption(in_reading_order(scene, parts))
        if held_out or rng.random() < PLAIN_SHARE
        else caption(scene, rng)
        for scene, parts in zip(scenes, positions, strict=True)
    ]
    numbers = {emoji.character: number for number, emoji in enumerate(world.emoji, start=1)}
    names = [[numbers[item.emoji.character] for item in scene.items] for scene in scenes]
    return Batch(
        scenes,
        boxes,
        as_images([world.draw(*each) for each in zip(scenes, boxes, strict=True)]),
        encode(tokenizer, texts),
        torch.stack(list(map(_cells, boxes, names))),
        torch.stack(list(map(_cells, boxes, positions))),
    )


def parts_of(boxes: Sequence[Box]) -> list[int]:
    """The index in ``PARTS`` of each box of a scene, by the boxes' centres."""
    if len(boxes) == 1:
        return [PARTS.index("only")]
    centres = np.array([(left + edge / 2, top + edge / 2) for left, top, edge in boxes])
    offset = centres[1] - centres[0]
    axis = int(abs(offset[1]) > abs(offset[0]))
    names = (("left", "right"), ("above", "below"))[axis]
    return [PARTS.index(name) for name in (names if offset[axis] > 0 else names[::-1])]


def in_reading_order(scene: Scene, parts: Sequence[int]) -> Scene:
    """The scene with the left or upper item first if its place has no order of its own.

    Captions in a random order would teach nothing about order.
    """
    if scene.place in ("beside", "and") and PARTS[parts[0]] in ("right", "below"):
        return replace(scene, items=scene.items[::-1])
    return scene


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> torch.Tensor:
    """Begin token, words, end token and padding: ``(B, L)`` int64."""
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    rows = [torch.tensor([begin, *tokenizer.encode(text), end]) for text in texts]
    return torch.nn.utils.rnn.pad_sequence(
        rows, batch_first=True, padding_value=tokenizer.pad_token_id
    )


def _cells(boxes: Sequence[Box], values: Sequence[int]) -> torch.Tensor:
    """The value of the box over each cell's centre, 0 for background: ``(64,)`` int64."""
    grid = torch.zeros(CELLS, CELLS, dtype=torch.long)
    centres = (np.arange(CELLS) + 0.5) * IMAGE_EDGE / CELLS
    for (left, top, edge), value in zip(boxes, values, strict=True):
        (x0, x1), (y0, y1) = (np.searchsorted(centres, [at, at + edge]) for at in (left, top))
        grid[y0:y1, x0:x1] = value
    return grid.flatten()
