"""Pictures with captions, drawn afresh for every step, and the held-out ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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

CELLS = 8
_CELL_EDGE = IMAGE_EDGE // CELLS


@dataclass(frozen=True)
class Batch:
    """Scenes, drawn and told.

    ``images`` are ``(B, 3, 128, 128)`` in [-1, 1]; ``tokens`` ``(B, L)`` begin with the
    beginning and are filled up with padding; ``cells`` ``(B, 64)`` hold the number of
    the emoji (from 1) that covers each cell's centre, 0 for none.
    """

    scenes: list[Scene]
    boxes: list[list[Box]]
    images: torch.Tensor
    tokens: torch.Tensor
    cells: torch.Tensor


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
    texts = [
        plain_caption(scene) if held_out or rng.random() < PLAIN_SHARE else caption(scene, rng)
        for scene in scenes
    ]
    numbers = {emoji.character: number for number, emoji in enumerate(world.emoji, start=1)}
    return Batch(
        scenes,
        boxes,
        torch.from_numpy(to_signed(np.stack(drawn))),
        encode(tokenizer, texts),
        torch.from_numpy(
            np.stack([_cells(s, b, numbers) for s, b in zip(scenes, boxes, strict=True)])
        ),
    )


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> torch.Tensor:
    """Beginning, words, end, padding: ``(B, L)`` int64."""
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    rows = [torch.tensor([begin, *tokenizer.encode(text), end]) for text in texts]
    return torch.nn.utils.rnn.pad_sequence(
        rows, batch_first=True, padding_value=tokenizer.pad_token_id
    )


def _cells(scene: Scene, boxes: Sequence[Box], numbers: dict[str, int]) -> npt.NDArray[np.int64]:
    grid = np.zeros((CELLS, CELLS), np.int64)
    centres = np.arange(CELLS) * _CELL_EDGE + _CELL_EDGE // 2
    for item, (left, top, edge) in zip(scene.items, boxes, strict=True):
        rows = (centres >= top) & (centres < top + edge)
        columns = (centres >= left) & (centres < left + edge)
        grid[np.ix_(rows, columns)] = numbers[item.emoji.character]
    return grid.ravel()
