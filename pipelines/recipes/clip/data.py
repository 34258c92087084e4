"""Random emoji scenes with one caption each.

Half of a training batch are siblings of the other half, with one thing changed. Two random
scenes differ in their emoji, which suffice to tell them apart; siblings make colour, size
and place necessary (Yuksekgonul et al., 2022, arXiv:2210.01936).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from pipelines.recipes.emoji_scenes.data import (
    PLAIN_SHARE,
    Pixels,
    Scene,
    World,
    arrange,
    as_images,
    caption,
    plain_caption,
)


@dataclass(frozen=True)
class Batch:
    """Pictures ``(128, 128, 3)`` uint8 with a caption each.

    ``is_same`` ``(B, B)`` marks the pairs that show the same scene or have the same caption.
    """

    pictures: list[Pixels]
    texts: list[str]
    is_same: torch.Tensor

    def images(self) -> torch.Tensor:
        """``(B, 3, 128, 128)`` in [-1, 1]."""
        return as_images(self.pictures)


def draw_batch(world: World, size: int, rng: np.random.Generator, held_out: bool = False) -> Batch:
    """Training scenes with their siblings, or held-out scenes in their standard wording."""
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
    """A training scene that differs in one thing: colour, an emoji, its size, or the order."""
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
    elif scene.place in ("left", "above"):  # elsewhere the order means nothing
        items.reverse()
    return replace(scene, items=tuple(items))


def equal_pairs(values: Sequence[Hashable]) -> npt.NDArray[np.bool_]:
    """Which values are equal: ``(B, B)``."""
    first: dict[Hashable, int] = {}
    numbers = [first.setdefault(value, len(first)) for value in values]
    return np.equal.outer(numbers, numbers)
