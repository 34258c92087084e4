"""Pictures with one caption each, drawn afresh for every step, and the held-out ones.

Half of a batch for training are siblings of the other half, with one thing changed. Two
random scenes differ in their emoji, which tell them apart without a look at colour, size
and place; with siblings nothing can be left out (Yuksekgonul et al., 2022, arXiv:2210.01936).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from pipelines.recipes.captioner.data import PLAIN_SHARE
from pipelines.recipes.emoji_scenes.data import (
    Pixels,
    Scene,
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
    """Scenes of the training set with their siblings, or held-out ones, which have none, in
    their standard wording."""
    drawn = size if held_out else -(-size // 2)
    scenes = [world.sample(rng, held_out=held_out) for _ in range(drawn)]
    scenes += [sibling(world, scene, rng) for scene in scenes[: size - drawn]]
    pictures = [world.draw(scene, arrange(scene, rng)) for scene in scenes]
    texts = [
        plain_caption(scene) if held_out or rng.random() < PLAIN_SHARE else caption(scene, rng)
        for scene in scenes
    ]
    is_same = equal_pairs(scenes) | equal_pairs(texts)
    return Batch(pictures, texts, torch.from_numpy(is_same))


def sibling(world: World, scene: Scene, rng: np.random.Generator) -> Scene:
    """A scene of the training set that differs in one thing: colour, an emoji, its size, or
    which of two stands first."""
    while True:
        changed = _changed(world, scene, rng)
        are_big = len(changed.items) > 1 and all(item.size == "big" for item in changed.items)
        if changed != scene and not are_big and not changed.is_held_out():
            return changed


def _changed(world: World, scene: Scene, rng: np.random.Generator) -> Scene:
    other = world.sample(rng)
    what = rng.choice(["colour", "emoji", "size", "order"])
    if what == "colour":
        return replace(scene, colour=other.colour)
    items = list(scene.items)
    which = int(rng.integers(len(items)))
    if what == "emoji":
        items[which] = replace(items[which], emoji=other.items[0].emoji)
    elif what == "size":
        items[which] = replace(items[which], size=other.items[0].size)
    elif scene.place in ("left", "above"):  # elsewhere the order says nothing
        items.reverse()
    return replace(scene, items=tuple(items))


def equal_pairs(values: Sequence[Hashable]) -> npt.NDArray[np.bool_]:
    """Which are equal, ``(B, B)``."""
    first: dict[Hashable, int] = {}
    numbers = [first.setdefault(value, len(first)) for value in values]
    return np.equal.outer(numbers, numbers)
