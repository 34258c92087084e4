"""The painter's training data: latents of whole scenes, and of windows around their items.

Latents are computed once and cached in the run directory. Of a scene's 256 cells most are
bare background; a window around one item or two has 64 or 144 cells, most of them covered.
So the same compute shows each item many times as often. Windows of two items teach from
the start that words belong to places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from pipelines.recipes import training
from pipelines.recipes.autoencoders import Autoencoder
from pipelines.recipes.emoji_scenes.data import (
    EDGE,
    GRID,
    Box,
    Scene,
    World,
    arrange,
    as_images,
    caption,
)
from pipelines.recipes.emoji_scenes.vocabulary import SIZES

CAPTION_DROPOUT = 0.1
_WORDINGS = 8
_BATCH_SIZE = 50


@dataclass(frozen=True)
class Window:
    """A kind of window: its edge in pixels, and the scenes that it is cut from.

    The edge is a multiple of four cells. ``share`` is the share of windows of this kind.
    """

    edge: int
    items: int
    sizes: tuple[str, ...]
    share: float

    def fits(self, scene: Scene) -> bool:
        """Whether the scene's items are of this kind and fit side by side."""
        return (
            len(scene.items) == self.items
            and all(item.size in self.sizes for item in scene.items)
            and sum(SIZES[item.size] for item in scene.items) <= self.edge
        )


WINDOWS = (
    Window(8 * GRID, 1, ("small", ""), 0.5),
    Window(12 * GRID, 1, ("big",), 0.15),
    Window(12 * GRID, 2, ("small", ""), 0.35),
)


@dataclass(frozen=True)
class LatentScenes:
    """Encoded scenes.

    ``latents`` are ``(N, 8, edge, edge)``, ``covered`` ``(N, edge, edge)`` bool marks the cells
    under items, and ``captions`` has eight wordings of each scene.
    """

    latents: torch.Tensor
    captions: list[list[str]]
    covered: torch.Tensor

    def batch(
        self, rng: np.random.Generator, size: int
    ) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
        """Random latents ``(size, 8, edge, edge)``, covered cells, and a caption or ``""`` each."""
        indices = rng.integers(len(self.captions), size=size)
        words = [str(rng.choice(self.captions[index])) for index in indices]
        drops = rng.random(size) < CAPTION_DROPOUT
        captions = ["" if drop else word for word, drop in zip(words, drops, strict=True)]
        chosen = torch.from_numpy(indices)
        return self.latents[chosen].float(), self.covered[chosen], captions

    @property
    def edge(self) -> int:
        """In cells."""
        return int(self.covered.shape[-1])


def encode_scenes(
    vae: Autoencoder,
    world: World,
    count: int,
    seed: int,
    cache: Path | None,
    held_out: bool = False,
) -> LatentScenes:
    """Draws ``count`` scenes and encodes them, or reads their latents from ``cache``."""
    sample = partial(world.sample, held_out=held_out)
    return _encode(vae, world, sample, EDGE, count, seed, cache)


def encode_windows(
    vae: Autoencoder, world: World, window: Window, count: int, seed: int, cache: Path | None
) -> LatentScenes:
    """The same for ``count`` windows of one kind, out of training scenes."""

    def sample(rng: np.random.Generator) -> Scene:
        while not window.fits(scene := world.sample(rng)):
            pass
        return scene

    return _encode(vae, world, sample, window.edge, count, seed, cache)


@torch.no_grad()
def _encode(
    vae: Autoencoder,
    world: World,
    sample: Callable[[np.random.Generator], Scene],
    edge: int,
    count: int,
    seed: int,
    cache: Path | None,
) -> LatentScenes:
    """Scenes that are arranged within and cut to the ``edge`` pixels at the upper left."""
    rng = np.random.default_rng(seed)
    stored = load_file(cache)["latents"] if cache is not None and cache.is_file() else None
    parts, captions = [], []
    covered = torch.zeros(count, edge // GRID, edge // GRID, dtype=torch.bool)
    for start in range(0, count, _BATCH_SIZE):
        placed: list[tuple[Scene, Sequence[Box]]] = []
        for _ in range(min(_BATCH_SIZE, count - start)):
            scene = sample(rng)
            placed.append((scene, arrange(scene, rng, edge)))
        captions += [[caption(scene, rng) for _ in range(_WORDINGS)] for scene, _ in placed]
        for index, (_, boxes) in enumerate(placed, start):
            for left, top, size in (np.array(box) // GRID for box in boxes):
                covered[index, top : top + size, left : left + size] = True
        if stored is None:
            images = as_images([world.draw(*each)[:edge, :edge] for each in placed])
            images = images.to(vae.device, memory_format=torch.channels_last)
            with training.bfloat16(vae.device):
                parts.append(vae.encode(images).latent_dist.mode().half())
    latents = torch.cat(parts).cpu().contiguous() if stored is None else stored
    if latents.shape[0] != count:
        raise SystemExit(f"{cache} holds {latents.shape[0]} scenes, not {count}: delete it")
    if cache is not None and stored is None:
        save_file({"latents": latents}, cache)
    return LatentScenes(latents, captions, covered)
