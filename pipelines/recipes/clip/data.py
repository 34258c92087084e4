"""Pictures with one caption each, drawn afresh for every step, and the held-out ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from pipelines.recipes.captioner.data import PLAIN_SHARE
from pipelines.recipes.emoji_scenes.data import (
    Pixels,
    World,
    arrange,
    caption,
    plain_caption,
    to_signed,
)


@dataclass(frozen=True)
class Batch:
    """Pictures ``(128, 128, 3)`` uint8 and a caption of each.

    ``is_same`` ``(B, B)`` marks pairs of one scene or of one caption.
    """

    pictures: list[Pixels]
    texts: list[str]
    is_same: torch.Tensor

    def images(self) -> torch.Tensor:
        """``(B, 3, 128, 128)`` in [-1, 1]."""
        return torch.from_numpy(to_signed(np.stack(self.pictures)))


def draw_batch(world: World, size: int, rng: np.random.Generator, held_out: bool = False) -> Batch:
    """Random scenes of the training set, or held-out ones in their standard wording."""
    scenes = [world.sample(rng, held_out=held_out) for _ in range(size)]
    pictures = [world.draw(scene, arrange(scene, rng)) for scene in scenes]
    texts = [
        plain_caption(scene) if held_out or rng.random() < PLAIN_SHARE else caption(scene, rng)
        for scene in scenes
    ]
    said = [
        [texts[i] == texts[j] or scenes[i] == scenes[j] for j in range(size)] for i in range(size)
    ]
    return Batch(pictures, texts, torch.tensor(said))
