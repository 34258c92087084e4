"""Pictures with captions, drawn afresh for every step, and the held-out ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedTokenizerBase

from pipelines.recipes.captioner.model import IMAGE_EDGE
from pipelines.recipes.emoji_scenes.data import (
    Box,
    Scene,
    World,
    arrange,
    caption,
    plain_caption,
    plural,
    to_signed,
)

PLAIN_SHARE = 0.7
"""How many captions have the standard wording; the others vary."""

PARTS = ("none", "only", "left", "right", "above", "below")
"""Which part of its scene a thing plays."""

CELLS = 8
_CELL_EDGE = IMAGE_EDGE // CELLS


@dataclass(frozen=True)
class Batch:
    """Scenes, drawn and told.

    ``images`` are ``(B, 3, 128, 128)`` in [-1, 1]; ``tokens`` ``(B, L)`` begin with the
    beginning and are filled up with padding; ``cells`` ``(B, 64)`` hold the number of
    the emoji (from 1) that covers each cell's centre, 0 for none, and ``parts`` ``(B, 64)``
    the index in ``PARTS`` of what it is there.
    """

    scenes: list[Scene]
    boxes: list[list[Box]]
    images: torch.Tensor
    tokens: torch.Tensor
    cells: torch.Tensor
    parts: torch.Tensor


def words_of(world: World) -> set[str]:
    """Every word that a caption of this world can use."""
    rng = np.random.default_rng(0)
    scenes = [world.sample(rng) for _ in range(3000)]
    texts = [caption(scene, rng) for scene in scenes]
    texts += [name for emoji in world.emoji for name in emoji.names]
    texts += [plural(name) for emoji in world.emoji for name in emoji.names]
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
    drawn = [world.draw(scene, places) for scene, places in zip(scenes, boxes, strict=True)]
    parts = [parts_of(places) for places in boxes]
    texts = [
        plain_caption(in_reading_order(scene, played))
        if held_out or rng.random() < PLAIN_SHARE
        else caption(scene, rng)
        for scene, played in zip(scenes, parts, strict=True)
    ]
    numbers = {emoji.character: number for number, emoji in enumerate(world.emoji, start=1)}
    names = [[numbers[item.emoji.character] for item in scene.items] for scene in scenes]
    return Batch(
        scenes,
        boxes,
        torch.from_numpy(to_signed(np.stack(drawn))),
        encode(tokenizer, texts),
        torch.from_numpy(np.stack(list(map(_cells, boxes, names)))),
        torch.from_numpy(np.stack(list(map(_cells, boxes, parts)))),
    )


def parts_of(boxes: Sequence[Box]) -> list[int]:
    """For each box of a scene its index in ``PARTS``, by the boxes' centres."""
    if len(boxes) == 1:
        return [PARTS.index("only")]
    centres = np.array([(left + edge / 2, top + edge / 2) for left, top, edge in boxes])
    offset = centres[1] - centres[0]
    axis = int(abs(offset[1]) > abs(offset[0]))
    names = (("left", "right"), ("above", "below"))[axis]
    return [PARTS.index(name) for name in (names if offset[axis] > 0 else names[::-1])]


def in_reading_order(scene: Scene, parts: Sequence[int]) -> Scene:
    """The scene, told from the left or from above where its place has no order.

    A caption whose order is a matter of chance teaches nothing about order.
    """
    if scene.place in ("beside", "and") and PARTS[parts[0]] in ("right", "below"):
        return replace(scene, items=scene.items[::-1])
    return scene


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> torch.Tensor:
    """Beginning, words, end, padding: ``(B, L)`` int64."""
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    rows = [torch.tensor([begin, *tokenizer.encode(text), end]) for text in texts]
    return torch.nn.utils.rnn.pad_sequence(
        rows, batch_first=True, padding_value=tokenizer.pad_token_id
    )


def _cells(boxes: Sequence[Box], values: Sequence[int]) -> npt.NDArray[np.int64]:
    """The value of the box over each cell's centre, 0 where there is none: ``(64,)``."""
    grid = np.zeros((CELLS, CELLS), np.int64)
    centres = np.arange(CELLS) * _CELL_EDGE + _CELL_EDGE // 2
    for (left, top, edge), value in zip(boxes, values, strict=True):
        rows = (centres >= top) & (centres < top + edge)
        columns = (centres >= left) & (centres < left + edge)
        grid[np.ix_(rows, columns)] = value
    return grid.ravel()
