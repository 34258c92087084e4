"""What the painter learns from: latents of whole scenes, and of windows round their things.

Latents are computed once, by the autoencoder, and kept in the run's directory. A window
holds one thing or two and little else: where a whole scene has 256 cells, most of them
bare, it has 64 or 144, most of them covered. The same compute shows every thing many
times as often. Windows of two teach from the beginning that the words belong to places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file

from pipelines.recipes import training
from pipelines.recipes.emoji_scenes.data import (
    EDGE,
    GRID,
    Box,
    Scene,
    World,
    arrange,
    caption,
    to_signed,
)
from pipelines.recipes.emoji_scenes.vocabulary import SIZES

CAPTION_DROPOUT = 0.1


@dataclass(frozen=True)
class Window:
    """A kind of window: its edge in pixels, a multiple of four cells, and what stands in it.

    ``share`` is how often one of this kind is shown, while windows are.
    """

    edge: int
    things: int
    sizes: tuple[str, ...]
    share: float

    def holds(self, scene: Scene) -> bool:
        """Whether the scene is one for such a window."""
        return (
            len(scene.items) == self.things
            and all(item.size in self.sizes for item in scene.items)
            and sum(SIZES[item.size] for item in scene.items) <= self.edge
        )


WINDOWS = (
    Window(8 * GRID, 1, ("small", ""), 0.5),
    Window(12 * GRID, 1, ("big",), 0.15),
    Window(12 * GRID, 2, ("small", ""), 0.35),
)

Placed = tuple[Scene, Sequence[Box]]


@dataclass(frozen=True)
class LatentScenes:
    """Scenes whose latents are computed once: ``latents[i]`` has the wordings ``captions[i]``."""

    latents: torch.Tensor
    captions: list[list[str]]
    covered: torch.Tensor
    """``(N, edge, edge)`` bool: the cells in which things stand."""

    def batch(
        self, rng: np.random.Generator, size: int
    ) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
        """Random latents ``(size, 8, edge, edge)``, covered cells, and a wording each or none."""
        indices = rng.integers(len(self.captions), size=size)
        words = [str(rng.choice(self.captions[index])) for index in indices]
        dropped = rng.random(size) < CAPTION_DROPOUT
        kept = ["" if drop else word for word, drop in zip(words, dropped, strict=True)]
        chosen = torch.from_numpy(indices)
        return self.latents[chosen].float(), self.covered[chosen], kept

    @property
    def edge(self) -> int:
        """Of one of them, in cells."""
        return int(self.covered.shape[-1])


def encode_scenes(
    vae: AutoencoderKL,
    world: World,
    count: int,
    seed: int,
    cache: Path | None,
    held_out: bool = False,
) -> LatentScenes:
    """Draws ``count`` scenes with eight wordings each and encodes them, or reads ``cache``."""

    def place(rng: np.random.Generator) -> Placed:
        scene = world.sample(rng, held_out)
        return scene, arrange(scene, rng)

    return _encode(vae, world, place, EDGE, count, seed, cache)


def encode_windows(
    vae: AutoencoderKL, world: World, window: Window, count: int, seed: int, cache: Path | None
) -> LatentScenes:
    """``count`` windows of one kind, out of the world's training scenes."""

    def place(rng: np.random.Generator) -> Placed:
        while True:
            scene = world.sample(rng)
            if window.holds(scene):
                return scene, arrange(scene, rng, window.edge)

    return _encode(vae, world, place, window.edge, count, seed, cache)


@torch.no_grad()
def _encode(
    vae: AutoencoderKL,
    world: World,
    place: Callable[[np.random.Generator], Placed],
    edge: int,
    count: int,
    seed: int,
    cache: Path | None,
) -> LatentScenes:
    """Latents of what ``place`` draws, of the ``edge`` pixels from the upper left corner."""
    rng = np.random.default_rng(seed)
    stored = load_file(cache)["latents"] if cache is not None and cache.is_file() else None
    parts, captions = [], []
    covered = torch.zeros(count, edge // GRID, edge // GRID, dtype=torch.bool)
    for start in range(0, count, 50):
        placed = [place(rng) for _ in range(min(50, count - start))]
        captions += [[caption(scene, rng) for _ in range(8)] for scene, _ in placed]
        for index, (_, boxes) in enumerate(placed, start):
            for left, top, size in boxes:
                cells = covered[index, top // GRID :, left // GRID :]
                cells[: size // GRID, : size // GRID] = True
        if stored is None:
            pixels = np.stack([world.draw(*scene)[:edge, :edge] for scene in placed])
            images = torch.from_numpy(to_signed(pixels)).to(
                vae.device, memory_format=torch.channels_last
            )
            with training.bfloat16(vae.device):
                parts.append(vae.encode(images).latent_dist.mode().half())
    latents = torch.cat(parts).cpu().contiguous() if stored is None else stored
    if latents.shape[0] != count:
        raise SystemExit(f"{cache} holds {latents.shape[0]} scenes, not {count}: delete it")
    if cache is not None and stored is None:
        save_file({"latents": latents}, cache)
    return LatentScenes(latents, captions, covered)
